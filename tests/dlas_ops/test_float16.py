"""Networks stored in float16: right to a stated error, half the size, and an account that says how they compute."""

from __future__ import annotations

import re
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import helper

import dlas_ops
from dlas_ops import reference
from dlas_ops._tvm import tvm
from dlas_ops.algorithms import gemm
from dlas_ops.convolution import Conv
from tests.dlas_ops import assembly, emulated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.shapes import SETTINGS, convolutions
from tests.dlas_ops.test_networks import exported  # noqa: F401
from tests.dlas_ops.test_operators import CASES, after_convolution

ALGORITHMS = ["direct", "gemm", "spatial_pack"]
# Of the largest output. Rounding weights, inputs and outputs to 11 bits costs up to 5e-4 each.
LAYER_ERROR = 2e-3
NETWORK_ERROR = 3e-3
CONV = Conv(1, 19, 13, 11, 40, (3, 3), padding=(1, 1, 1, 1))


def network_of(conv: Conv, scale: float = 1) -> onnx.ModelProto:
    nodes = [networks.conv_node(conv, ["x", "w"], "c"), helper.make_node("Relu", ["c"], ["y"])]
    return networks.model(nodes, networks.shape_of(conv), {"w": networks.weights_of(conv) * np.float32(scale)})


def expected_of(conv: Conv, data: networks.Array) -> networks.Array:
    return np.maximum(reference.conv2d(data, networks.weights_of(conv), conv), 0)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str) -> None:
    @settings(SETTINGS, max_examples=30)
    @given(convolutions())
    def cases(conv: Conv) -> None:
        data = networks.random(networks.shape_of(conv))
        compiled = dlas_ops.compile(network_of(conv), networks.target(), algorithm=algorithm, dtype="float16")
        expected = expected_of(conv, data)
        scale = max(float(expected.max()), sqrt(conv.macs / expected.size))
        np.testing.assert_allclose(networks.run(compiled, data), expected, rtol=0, atol=LAYER_ERROR * scale)

    cases()


# The sine of a large number has the absolute error that rounding gave the number.
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("sine")])
def test_operators(case: str) -> None:
    network = after_convolution(*CASES[case])
    data = networks.random([size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim])
    compiled = dlas_ops.compile(network, networks.target(), algorithm="spatial_pack", dtype="float16")
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(network, data), LAYER_ERROR)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
def test_networks_keep_their_answers(name: str, exported: dict[str, onnx.ModelProto]) -> None:  # noqa: F811
    compiled = dlas_ops.compile(exported[name], networks.target(), algorithm="spatial_pack", dtype="float16")
    float32 = dlas_ops.compile(exported[name], networks.target(), algorithm="spatial_pack")
    machines = [tvm.relax.VirtualMachine(built.library, tvm.cpu()) for built in (compiled, float32)]
    images = [tvm.runtime.tensor(networks.random((1, 3, 32, 32), seed)) for seed in range(100)]
    pairs = [[machine["main"](image).numpy() for machine in machines] for image in images]
    for actual, expected in pairs:
        networks.assert_close(actual, expected, NETWORK_ERROR)
    assert sum(actual.argmax() == expected.argmax() for actual, expected in pairs) >= 99


@pytest.mark.slow
def test_the_artifact_is_half_the_size(exported: dict[str, onnx.ModelProto], tmp_path: Path) -> None:  # noqa: F811
    sizes = {}
    for dtype in ("float32", "float16"):
        path = tmp_path / f"{dtype}.tar"
        compiled = dlas_ops.compile(exported["resnet18"], networks.target(), algorithm="spatial_pack", dtype=dtype)
        compiled.library.export_library(str(path))
        sizes[dtype] = path.stat().st_size
    assert 0.48 < sizes["float16"] / sizes["float32"] < 0.52


@pytest.mark.slow
@pytest.mark.parametrize(("name", "joined"), [("resnet18", 3), ("mobilenetv2", 0)])
def test_activations_are_stored_in_half(
    name: str,
    joined: int,
    exported: dict[str, onnx.ModelProto],  # noqa: F811
) -> None:
    """Of two convolutions that one addition joins, the second's result is read once, in float32."""
    lowered = dlas_ops.lower(exported[name], networks.target(), algorithm="spatial_pack", dtype="float16")
    stored = [binding.var for block in lowered.module["main"].body.blocks for binding in block.bindings]
    large = [var for var in stored if len(var.ty.shape) == 5]
    assert len(large) > 20
    assert len([var for var in large if str(var.ty.dtype) == "float32"]) == joined


def test_the_account_says_how_it_computes() -> None:
    (layer,) = dlas_ops.lower(network_of(CONV), networks.target(), algorithm="direct", dtype="float16").layers
    assert (layer.ran, layer.dtype, layer.arithmetic) == ("direct/dense", "float16", "float32")
    assert "float32" in layer.reason


def test_an_algorithm_that_lacks_the_dtype_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "DTYPES", ("float32",))
    (layer,) = dlas_ops.lower(network_of(CONV), networks.target(), algorithm="gemm", dtype="float16").layers
    assert (layer.asked, layer.ran) == ("gemm/dense", "spatial_pack/dense")
    assert "gemm/dense does not implement float16" in layer.reason


def test_weights_beyond_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond the range of float16"):
        dlas_ops.lower(network_of(CONV, 1e5), networks.target(), algorithm="direct", dtype="float16")


def target_of(**fields: Any) -> Any:
    return tvm.target.Target({"kind": "llvm", "num-cores": 2, **fields})


def test_targets_without_conversion_are_refused() -> None:
    with pytest.raises(ValueError, match="no instruction that converts"):
        dlas_ops.lower(network_of(CONV), target_of(mcpu="x86-64-v2"), algorithm="direct", dtype="float16")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_converts_in_vectors(algorithm: str) -> None:
    target = target_of(mcpu="x86-64-v3")
    compiled = dlas_ops.compile(network_of(CONV), target, algorithm=algorithm, dtype="float16")
    text = assembly.text_of(compiled.library)
    assert not re.search(r"call.*__(extendhf|truncsfhf)", text)
    loop = assembly.hottest(compiled.library)
    assert any(instruction.startswith("vcvtph2ps") for instruction in loop.instructions)
    data = networks.random(networks.shape_of(CONV))
    networks.assert_close(networks.run(compiled, data), expected_of(CONV, data), LAYER_ERROR)


@pytest.mark.skipif(not emulated.available(), reason="gcc-aarch64-linux-gnu or qemu-user-static is not installed")
@pytest.mark.parametrize("mcpu", ["cortex-a72", "neoverse-n1"])
def test_arm_is_right(mcpu: str, tmp_path: Path) -> None:
    target = target_of(mtriple="aarch64-linux-gnu", mcpu=mcpu)
    lowered = dlas_ops.lower(network_of(CONV), target, algorithm="spatial_pack", dtype="float16")
    data = networks.random(networks.shape_of(CONV))
    networks.assert_close(emulated.run(lowered, target, data, tmp_path), expected_of(CONV, data), LAYER_ERROR)
