"""Layers in bfloat16: what the NumPy reference computes of rounded operands, by the processor's products or widened."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Target
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor import bfloat
from dlas_ops.processor.cpus import describe_cpu
from tests.dlas_ops import assembly, emulated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS, convolutions

ALGORITHMS = ["direct", "gemm", "spatial_pack"]
# Of the largest output: the result is rounded to 8 bits, the first of which is always one.
ERROR = 2**-8 * 1.02
CONV = Conv(1, 19, 13, 11, 40, (3, 3), padding=(1, 1, 1, 1))
DEPTHWISE = Conv(1, 24, 13, 11, 24, (3, 3), padding=(1, 1, 1, 1), groups=24)
GROUPED = Conv(2, 24, 9, 7, 36, (3, 3), stride=(2, 1), padding=(1, 1, 1, 1), groups=4)
POINTWISE = Conv(1, 32, 6, 7, 48, (1, 1))
WIDENED = "float32 (the {} has no fast arithmetic in bfloat16)"


def rounded(array: Array) -> Array:
    return array.astype(ml_dtypes.bfloat16).astype(np.float32)


def network_of(conv: Conv) -> onnx.ModelProto:
    """Return a network of two layers: the second, a pooling of single points, keeps the first one's result narrow."""
    nodes = [
        networks.conv_node(conv, ["x", "w"], "c"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["y"], kernel_shape=[1, 1]),
    ]
    return networks.model(nodes, networks.shape_of(conv), {"w": networks.weights_of(conv)})


def compare(output: Array, conv: Conv, data: Array) -> None:
    expected = np.maximum(reference.conv2d(rounded(data), rounded(networks.weights_of(conv)), conv), 0)
    scale = max(float(expected.max()), sqrt(conv.macs / expected.size))
    np.testing.assert_allclose(output, expected, rtol=0, atol=ERROR * scale)


def check(conv: Conv, algorithm: str, target: Target) -> None:
    data = networks.random(networks.shape_of(conv))
    compiled = dlas_ops.compile(network_of(conv), target, algorithm=algorithm, dtype="bfloat16")
    compare(networks.run(compiled, data), conv, data)


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str, examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(convolutions())
    def cases(conv: Conv) -> None:
        check(conv, algorithm, networks.target())

    cases()


@pytest.mark.parametrize(("conv", "algorithm"), crossed([CONV, DEPTHWISE, GROUPED, POINTWISE], ALGORITHMS), ids=str)
def test_a_processor_without_the_instruction_widens(conv: Conv, algorithm: str) -> None:
    target = named("x86-64-v3")
    if not {"avx2", "fma", "f16c"} <= set(networks.x86_flags()):
        pytest.skip("this processor cannot run it")
    check(conv, algorithm, target)


def test_a_dense_layer_is_rounded_and_summed_in_float32() -> None:
    weight, data = networks.random((70, 37), 1), networks.random((3, 70))
    network = networks.model([helper.make_node("MatMul", ["x", "w"], ["y"])], (3, 70), {"w": weight})
    compiled = dlas_ops.compile(network, networks.target(), algorithm="direct", dtype="bfloat16")
    networks.assert_close(networks.run(compiled, data), rounded(data) @ rounded(weight), ERROR)


INSTRUCTIONS = {"znver4": "vdpbf16ps", "cooperlake": "vdpbf16ps", "neoverse-n2": "bfdot"}


@pytest.mark.parametrize(("algorithm", "mcpu"), crossed(ALGORITHMS, INSTRUCTIONS))
def test_the_innermost_loop_is_the_processors_instruction(algorithm: str, mcpu: str) -> None:
    target, instruction = named(mcpu), INSTRUCTIONS[mcpu]
    assert describe_cpu(target).bfloat == instruction
    for conv in (Conv(1, 64, 12, 12, 64, (3, 3), padding=(1, 1, 1, 1)), POINTWISE):
        compiled = dlas_ops.compile(network_of(conv), target, algorithm=algorithm, dtype="bfloat16")
        loop = assembly.hottest(compiled.library)
        assert {text.split()[0] for text in loop.multiply_adds} == {instruction}
        assert len(loop.multiply_adds) >= len(loop.instructions) * 0.35
        assert len(loop.vector_stores) <= 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_account_says_how_it_computes(algorithm: str) -> None:
    def arithmetic(conv: Conv, mcpu: str) -> str:
        layer, _ = dlas_ops.lower(network_of(conv), named(mcpu), algorithm=algorithm, dtype="bfloat16").layers
        assert (layer.dtype, layer.reason) == ("bfloat16", "" if conv.groups == 1 else layer.reason)
        return layer.arithmetic

    assert arithmetic(CONV, "x86-64-v3") == WIDENED.format("processor")
    assert arithmetic(CONV, "znver4") == arithmetic(GROUPED, "znver4") == bfloat.ARITHMETIC
    assert arithmetic(DEPTHWISE, "znver4") == WIDENED.format("layer")
    # Its matrices of bfloat16 are fast, its vectors are not.
    assert arithmetic(CONV, "sapphirerapids") == bfloat.ARITHMETIC
    assert arithmetic(GROUPED, "sapphirerapids") == WIDENED.format("layer")


def test_weights_take_half_the_space() -> None:
    sizes = {
        dtype: dlas_ops.lower(network_of(CONV), named("znver4"), algorithm="direct", dtype=dtype).layers[0].stored_bytes
        for dtype in ("float32", "bfloat16")
    }
    # Pairs of input channels: the last of an odd number lies beside a zero.
    assert sizes["bfloat16"] * 2 == sizes["float32"] * 20 / 19


def test_a_large_weight_keeps_its_magnitude() -> None:
    """float16 ends at 65,504; bfloat16 has the range of float32."""
    weight = np.full((1, 1), 1e30, np.float32)
    network = networks.model([helper.make_node("MatMul", ["x", "w"], ["y"])], (1, 1), {"w": weight})
    compiled = dlas_ops.compile(network, networks.target(), algorithm="direct", dtype="bfloat16")
    networks.assert_close(networks.run(compiled, np.ones((1, 1), np.float32)), weight, ERROR)


def test_gpus_are_refused() -> None:
    with pytest.raises(ValueError, match="bfloat16 has programs for CPUs only"):
        dlas_ops.lower(
            network_of(CONV),
            tvm.target.Target({"kind": "cuda", "arch": "sm_75", "host": "llvm"}),
            algorithm="direct",
            dtype="bfloat16",
        )


@pytest.mark.skipif(not emulated.available(), reason="needs gcc-aarch64-linux-gnu and qemu-user-static (Debian)")
@pytest.mark.parametrize(
    ("mcpu", "algorithm", "conv"),
    [
        ("cortex-a72", "direct", CONV),
        ("neoverse-n2", "gemm", CONV),
        *(pytest.param("neoverse-n2", name, CONV, marks=pytest.mark.nightly) for name in ("direct", "spatial_pack")),
        ("neoverse-n2", "direct", GROUPED),
    ],
    ids=str,
)
def test_arm_is_right(mcpu: str, algorithm: str, conv: Conv, tmp_path: Path) -> None:
    """Only the second multiplies bfloat16."""
    target = named(mcpu)
    lowered = dlas_ops.lower(network_of(conv), target, algorithm=algorithm, dtype="bfloat16")
    data = networks.random(networks.shape_of(conv))
    compare(emulated.run(lowered, target, data, tmp_path), conv, data)
