"""Descriptions of processors for schedules, and that builds for processors other than this one are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.cpus import describe_cpu
from tests.dlas_ops import emulated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.named_targets import named

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
CONVS = [
    Conv(1, 19, 13, 11, 40, (3, 3), padding=(1, 1, 1, 1)),
    Conv(2, 24, 9, 9, 24, (3, 3), (2, 2), (1, 1, 1, 1), groups=24),
    Conv(1, 16, 7, 7, 24, (3, 3), groups=2),
]


@pytest.mark.parametrize(
    ("fields", "bits", "registers"),
    [
        ({"mcpu": "skylake-avx512"}, 512, 32),
        ({"mcpu": "znver3"}, 256, 16),
        ({"mcpu": "x86-64-v2"}, 128, 16),
        ({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}, 128, 32),
        ({"mtriple": "arm-linux-gnueabihf", "mcpu": "cortex-a7"}, 128, 16),
        ({}, 128, 16),
    ],
)
def test_describes_processors(fields: dict[str, str], bits: int, registers: int) -> None:
    cpu = describe_cpu(tvm.target.Target({"kind": "llvm", "num-cores": 3, **fields}))
    assert (cpu.vector_bits, cpu.vector_registers, cpu.cores) == (bits, registers, 3)


@pytest.mark.parametrize(
    ("fields", "dot", "half", "half_loads"),
    [
        ({"mcpu": "sapphirerapids"}, "vpdpbusd", True, True),
        ({"mcpu": "znver4"}, "vpdpbusd", False, True),
        ({"mcpu": "cascadelake"}, "vpdpbusd", False, True),
        ({"mcpu": "x86-64-v4"}, "vpmaddwd", False, True),
        ({"mcpu": "alderlake"}, "vpdpbusd", False, True),
        ({"mcpu": "x86-64-v3"}, "vpmaddwd", False, True),
        ({"mcpu": "x86-64-v2"}, "vpmaddwd", False, False),
        ({"mtriple": "aarch64-linux-gnu", "mcpu": "neoverse-n1"}, "sdot", True, True),
        ({"mtriple": "aarch64-linux-gnu", "mattr": ["+dotprod"]}, "sdot", False, True),
        ({"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"}, "", False, True),
        ({"mtriple": "riscv64-linux-gnu"}, "", False, False),
    ],
)
def test_knows_small_arithmetic(fields: dict[str, str], dot: str, half: bool, half_loads: bool) -> None:
    cpu = describe_cpu(tvm.target.Target({"kind": "llvm", **fields}))
    assert (cpu.dot, cpu.half, cpu.half_loads) == (dot, half, half_loads)


def test_products_of_bfloat16_are_taken_where_they_are_faster() -> None:
    """Intel's vectors of them are slower than those of float32, its matrices are not."""
    hidden = {"mcpu": "sapphirerapids", "mattr": ["-amx-bf16", "-amx-int8", "-amx-tile"]}
    taken = [
        describe_cpu(tvm.target.Target({"kind": "llvm", **fields})).bfloat
        for fields in ({"mcpu": "sapphirerapids"}, hidden, {"mcpu": "znver4"})
    ]
    assert taken == ["vdpbf16ps", "", "vdpbf16ps"]


@pytest.mark.parametrize(("algorithm", "mcpu"), crossed(ALGORITHMS, ["x86-64-v3", "x86-64-v2"]))
def test_narrower_vectors_are_right(mcpu: str, algorithm: str) -> None:
    if networks.NEEDED[mcpu] not in networks.x86_flags():
        pytest.skip(f"this processor has no {networks.NEEDED[mcpu]}")
    target = named(mcpu)
    for conv in CONVS:
        weight, data = networks.weights_of(conv), networks.random(networks.shape_of(conv))
        network = networks.one_layer(conv, weight)
        actual = networks.run(dlas_ops.compile(network, target, algorithm=algorithm), data)
        networks.assert_close(actual, reference.conv2d(data, weight, conv), 1e-5)


@pytest.mark.skipif(not emulated.available(), reason="needs gcc-aarch64-linux-gnu and qemu-user-static (Debian)")
@pytest.mark.parametrize(("algorithm", "mcpu"), crossed(ALGORITHMS, ["cortex-a72", "neoverse-n1"]))
def test_arm_is_right(mcpu: str, algorithm: str, tmp_path: Path) -> None:
    target = named(mcpu, cores=4)
    for conv in CONVS:
        weight, data = networks.weights_of(conv), networks.random(networks.shape_of(conv))
        nodes = [networks.conv_node(conv, ["x", "w"], "c"), helper.make_node("Relu", ["c"], ["y"])]
        network = networks.model(nodes, data.shape, {"w": weight})
        lowered = dlas_ops.lower(network, target, algorithm=algorithm)
        actual = emulated.run(lowered, target, data, tmp_path)
        networks.assert_close(actual, np.maximum(reference.conv2d(data, weight, conv), 0), 1e-5)
