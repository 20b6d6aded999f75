"""Pooling, dense layers and element-wise operators around a convolution, against NumPy and ONNX Runtime."""

from __future__ import annotations

import re
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops.kernels.scheduling import schedule
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.kernels.sparse.test_sparse import gated
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.operator_cases import CASES, after_convolution
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS

ALGORITHMS = ["direct", "gemm", "spatial_pack"]


def check(network: onnx.ModelProto, algorithm: str) -> None:
    data = networks.random([size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim])
    actual = networks.run(dlas_ops.compile(network, networks.target(), algorithm=algorithm), data)
    networks.assert_close(actual, networks.run_onnxruntime(network, data), 1e-5)


@pytest.mark.parametrize(("case", "algorithm"), crossed(CASES, ALGORITHMS))
def test_agrees_with_onnxruntime(case: str, algorithm: str) -> None:
    check(after_convolution(*CASES[case]), algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_concatenation_of_whole_vectors(algorithm: str) -> None:
    nodes = [helper.make_node("Neg", ["c"], ["n"]), helper.make_node("Concat", ["c", "n", "c"], ["y"], axis=1)]
    check(after_convolution(nodes, {}, channels=32), algorithm)


@st.composite
def windows(draw: st.DrawFn) -> Conv:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    padding = (draw(st.integers(0, kernel[0] - 1)), 0, 0, draw(st.integers(0, kernel[1] - 1)))
    channels = draw(st.sampled_from([1, 7, 16, 40]))
    return Conv(
        draw(st.integers(1, 2)), channels, draw(st.integers(4, 20)), draw(st.integers(4, 20)), channels, kernel,
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))), padding, groups=channels,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_pooling_over_drawn_windows(kind: str, examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(windows(), st.booleans(), st.sampled_from(ALGORITHMS))
    def cases(window: Conv, count_padding: bool, algorithm: str) -> None:
        count: dict[str, Any] = {"count_include_pad": int(count_padding)} if kind == "AveragePool" else {}
        node = helper.make_node(
            kind, ["x"], ["y"], kernel_shape=window.kernel, strides=window.stride, pads=window.padding, **count
        )
        data = networks.random(networks.shape_of(window))
        network = networks.model([node], data.shape, {})
        actual = networks.run(dlas_ops.compile(network, networks.target(), algorithm=algorithm), data)
        if kind == "MaxPool":
            networks.assert_close(actual, reference.max_pool2d(data, window))
        else:
            networks.assert_close(actual, reference.avg_pool2d(data, window, count_padding))

    cases()


@st.composite
def averages(draw: st.DrawFn) -> onnx.ModelProto:
    """Draw an average pooling over lines, maps or volumes in blocks, with an output size that is rounded up or not."""
    rank = draw(st.integers(1, 3))

    def each(*values: int) -> list[int]:
        return [draw(st.sampled_from(values)) for _ in range(rank)]

    kernel, sizes = each(2, 3, 4), each(5, 6, 7, 10)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node(
            "AveragePool", ["c"], ["y"], kernel_shape=kernel, strides=each(1, 2, 3), pads=each(0, 1) + each(0, 1),
            ceil_mode=draw(st.sampled_from([0, 1, 1])), count_include_pad=draw(st.integers(0, 1)),
        ),
    ]  # fmt: skip
    return networks.model(nodes, (2, 3, *sizes), {"w": networks.random((21, 3, *[1] * rank))})


@pytest.mark.parametrize("examples", EXAMPLES)
def test_averages_that_round_up_stay_in_blocks(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(averages(), st.sampled_from(ALGORITHMS))
    def cases(network: onnx.ModelProto, algorithm: str) -> None:
        check(network, algorithm)
        layers = dlas_ops.lower(network, networks.target(), algorithm=algorithm).layers
        assert layers[-1].ran == "window"

    cases()


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(1, 7, 3), (1, 512, 1000), (2, 64, 16), (5, 33, 50), (41, 3, 17)]
)
def test_dense(rows: int, inputs: int, outputs: int) -> None:
    weight, bias, data = (
        networks.random([outputs, inputs]),
        networks.random([outputs], 2),
        networks.random([rows, inputs], 3),
    )
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    network = networks.model([node], data.shape, {"w": weight, "b": bias})
    actual = networks.run(dlas_ops.compile(network, networks.target(), algorithm="direct"), data)
    networks.assert_close(actual, reference.dense(data, weight) + bias)


@pytest.mark.parametrize("gate", ["Sigmoid", "HardSigmoid"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("algorithm", "groups"), [*((algorithm, 1) for algorithm in ALGORITHMS), ("direct", 24)])
def test_a_gate_is_computed_once_and_its_map_by_all_cores(algorithm: str, groups: int, dtype: str, gate: str) -> None:
    """Few tiles of sums, here one or two, gate a map of many points."""
    network, data = gated(60, gate, groups), networks.random((1, 8, 60, 60))
    lowered = dlas_ops.lower(network, networks.target(), algorithm=algorithm, dtype=dtype)
    [gating] = [
        function
        for name, function in schedule(lowered.module, networks.target()).functions_items()
        if "multiply" in str(name.name_hint)
    ]
    *before, gated_map = nests(gating)
    assert before[-1] == {"Sigmoid": "sigmoid", "HardSigmoid": "compute"}[gate]
    assert int(re.findall(r"^parallel (\d+)", nests(gating)[gated_map])[0]) >= 60 * 60
    output = networks.run_library(dlas_ops.build(lowered, networks.target()).library, data)
    networks.assert_close(output, networks.run_onnxruntime(network, data), 1e-5 if dtype == "float32" else 4e-3)


@pytest.mark.parametrize("format", ["dense", "csr"])
@pytest.mark.parametrize(("algorithm", "gate"), crossed(ALGORITHMS, ["Sigmoid", "HardSigmoid", "Relu"]))
def test_sums_may_gate_a_map_and_shift_it(algorithm: str, gate: str, format: str) -> None:
    network, data = gated(20, gate, shifted=True), networks.random((1, 8, 20, 20))
    compiled = dlas_ops.compile(network, networks.target(), algorithm=algorithm, format=format)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(network, data), 1e-5)
