"""Networks in float16: right to a stated error, half the size, and an account that says how they compute."""

from __future__ import annotations

import re
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.kernels.algorithms import gemm
from dlas_ops.kernels.scheduling import schedule
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.onnx.batching import with_batch
from dlas_ops.processor import half
from dlas_ops.processor.targets import describe
from tests.dlas_ops import assembly, emulated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.operator_cases import CASES, after_convolution
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS, convolutions

ALGORITHMS = ["direct", "gemm", "spatial_pack"]
# Of the largest output. Rounding weights, inputs and outputs to 11 bits costs up to 5e-4 each, sums of 64 products in
# float16 another 1e-3.
LAYER_ERROR = 2e-3
NETWORK_ERROR = {"computed in float32": 3e-3, "computed in float16": 5e-3}
# A processor without arithmetic in float16, and processors with it.
WITHOUT = "x86-64-v3"
WITH = ["sapphirerapids", "neoverse-n1"]
CONV = Conv(1, 19, 13, 11, 40, (3, 3), padding=(1, 1, 1, 1))
DEPTHWISE = Conv(1, 24, 13, 11, 24, (3, 3), padding=(1, 1, 1, 1), groups=24)
LONG = Conv(1, 136, 5, 6, 24, (3, 3))


def network_of(conv: Conv, scale: float = 1) -> onnx.ModelProto:
    nodes = [networks.conv_node(conv, ["x", "w"], "c"), helper.make_node("Relu", ["c"], ["y"])]
    return networks.model(nodes, networks.shape_of(conv), {"w": networks.weights_of(conv) * np.float32(scale)})


def expected_of(conv: Conv, data: networks.Array) -> networks.Array:
    return np.maximum(reference.conv2d(data, networks.weights_of(conv), conv), 0)


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str, examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(convolutions())
    def cases(conv: Conv) -> None:
        data = networks.random(networks.shape_of(conv))
        compiled = dlas_ops.compile(network_of(conv), networks.target(), algorithm=algorithm, dtype="float16")
        expected = expected_of(conv, data)
        scale = max(float(expected.max()), sqrt(conv.macs / expected.size))
        # Of 117 products, one order of summing them in a hundred is as far off as LAYER_ERROR, and none twice as far.
        np.testing.assert_allclose(networks.run(compiled, data), expected, rtol=0, atol=2 * LAYER_ERROR * scale)

    cases()


# The sine of a large number has the absolute error that rounding gave the number, and the exponential has it as its
# relative error.
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("sine")])
def test_operators(case: str) -> None:
    network = after_convolution(*CASES[case])
    data = networks.random([size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim])
    compiled = dlas_ops.compile(network, networks.target(), algorithm="spatial_pack", dtype="float16")
    tolerance = LAYER_ERROR * (2 if case == "exp" else 1)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(network, data), tolerance)


@pytest.mark.parametrize("conv", [Conv(1, 520, 6, 7, 24, (3, 3)), Conv(1, 48, 9, 9, 48, (7, 7), groups=48)], ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_long_sums(algorithm: str, conv: Conv) -> None:
    """Positive inputs, so that sums grow with every product that is positive too."""
    data = np.abs(networks.random(networks.shape_of(conv)))
    compiled = dlas_ops.compile(network_of(conv), networks.target(), algorithm=algorithm, dtype="float16")
    networks.assert_close(networks.run(compiled, data), expected_of(conv, data), LAYER_ERROR)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_parts_count_as_work_for_other_cores(algorithm: str) -> None:
    """The float32 sums alone, which are few, would not be worth waking another core."""
    target = named("sapphirerapids")
    lowered = dlas_ops.lower(network_of(Conv(1, 96, 8, 8, 576, (1, 1))), target, algorithm=algorithm, dtype="float16")
    scheduled = schedule(lowered.module, target)
    [text] = [scheduled[var].script() for var in scheduled.get_global_vars() if "conv2d" in var.name_hint]
    assert "T.parallel(" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", pytest.param("mobilenetv2", marks=pytest.mark.nightly)])
def test_networks_keep_their_answers(name: str, exported: dict[str, onnx.ModelProto]) -> None:
    tolerance = NETWORK_ERROR["computed in float16" if describe(networks.target()).half else "computed in float32"]
    compiled = dlas_ops.compile(exported[name], networks.target(), algorithm="spatial_pack", dtype="float16")
    machine = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())
    images = networks.random((100, 3, 32, 32))
    answers = [machine["main"](tvm.runtime.tensor(image[None])).numpy() for image in images]
    expected = networks.run_onnxruntime(with_batch(exported[name], 100), images)
    for actual, answer in zip(answers, expected, strict=True):
        networks.assert_close(actual[0], answer, tolerance)
    assert (np.concatenate(answers).argmax(axis=1) == expected.argmax(axis=1)).sum() >= 99


def test_the_artifact_is_half_the_size(tmp_path: Path) -> None:
    """Of a layer with many weights, beside which the code is small."""
    sizes = {}
    for dtype in ("float32", "float16"):
        path = tmp_path / f"{dtype}.tar"
        large = network_of(Conv(1, 512, 4, 4, 512, (3, 3)))
        compiled = dlas_ops.compile(large, networks.target(), algorithm="spatial_pack", dtype=dtype)
        compiled.library.export_library(str(path))
        sizes[dtype] = path.stat().st_size
    assert 0.48 < sizes["float16"] / sizes["float32"] < 0.52


@pytest.mark.slow
@pytest.mark.parametrize(("name", "joined"), [("resnet18", 3), ("mobilenetv2", 0)])
def test_activations_are_stored_in_half(
    name: str,
    joined: int,
    exported: dict[str, onnx.ModelProto],
) -> None:
    """Of two convolutions that one addition joins, the second's result is read once, in float32."""
    lowered = dlas_ops.lower(exported[name], networks.target(), algorithm="spatial_pack", dtype="float16")
    stored = [binding.var for block in lowered.module["main"].body.blocks for binding in block.bindings]
    large = [var for var in stored if len(var.ty.shape) == 5]
    assert len(large) > 20
    assert len([var for var in large if str(var.ty.dtype) == "float32"]) == joined


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_account_says_how_it_computes(algorithm: str) -> None:
    def account(conv: Conv, mcpu: str) -> dlas_ops.Layer:
        (layer,) = dlas_ops.lower(network_of(conv), named(mcpu), algorithm=algorithm, dtype="float16").layers
        assert layer.dtype == "float16"
        return layer

    layer = account(CONV, WITHOUT)
    lacks = "float32 (the {} has no fast arithmetic in float16)"
    assert (layer.ran, layer.arithmetic, layer.reason) == (f"{algorithm}/dense", lacks.format("processor"), "")
    for mcpu in WITH:
        layer = account(CONV, mcpu)
        assert (layer.ran, layer.arithmetic, layer.reason) == (f"{algorithm}/dense", half.ARITHMETIC, "")
        assert account(DEPTHWISE, mcpu).arithmetic == "float16"
        for conv in (replace(DEPTHWISE, kernel=(5, 5)), replace(DEPTHWISE, groups=8)):
            assert account(conv, mcpu).arithmetic == lacks.format("layer")


def test_an_algorithm_that_lacks_the_dtype_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "DTYPES", ("float32",))
    (layer,) = dlas_ops.lower(network_of(CONV), networks.target(), algorithm="gemm", dtype="float16").layers
    assert (layer.asked, layer.ran) == ("gemm/dense", "spatial_pack/dense")
    assert "gemm/dense does not implement float16" in layer.reason


def test_weights_beyond_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond the range of float16"):
        dlas_ops.lower(network_of(CONV, 1e5), networks.target(), algorithm="direct", dtype="float16")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_converts_in_vectors(algorithm: str) -> None:
    target = named("x86-64-v3")
    compiled = dlas_ops.compile(network_of(CONV), target, algorithm=algorithm, dtype="float16")
    text = assembly.text_of(compiled.library)
    assert not re.search(r"call.*__(extendhf|truncsfhf)", text)
    loop = assembly.hottest(compiled.library)
    assert any(instruction.startswith("vcvtph2ps") for instruction in loop.instructions)
    if "f16c" not in networks.x86_flags():
        pytest.skip("this processor has no f16c: the program was read, not run")
    data = networks.random(networks.shape_of(CONV))
    networks.assert_close(networks.run(compiled, data), expected_of(CONV, data), LAYER_ERROR)


@pytest.mark.skipif(not emulated.available(), reason="needs gcc-aarch64-linux-gnu and qemu-user-static (Debian)")
@pytest.mark.parametrize(("algorithm", "mcpu"), crossed(ALGORITHMS, ["cortex-a72", "neoverse-n1"]))
def test_arm_is_right(mcpu: str, algorithm: str, tmp_path: Path) -> None:
    """Only the second computes in float16."""
    target = named(mcpu)
    for conv in (CONV, DEPTHWISE, LONG):
        lowered = dlas_ops.lower(network_of(conv), target, algorithm=algorithm, dtype="float16")
        data = networks.random(networks.shape_of(conv))
        networks.assert_close(emulated.run(lowered, target, data, tmp_path), expected_of(conv, data), LAYER_ERROR)
