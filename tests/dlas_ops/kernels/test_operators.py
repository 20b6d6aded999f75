"""Pooling, dense layers and element-wise operators around a convolution, against NumPy and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.shapes import SETTINGS

ALGORITHMS = ["direct", "gemm", "spatial_pack"]


def after_convolution(
    nodes: Sequence[onnx.NodeProto], weights: dict[str, networks.Array], channels: int = 21, size: int = 6
) -> onnx.ModelProto:
    """Return a pointwise convolution from x to c, which puts c into channel blocks, and `nodes` from c to y."""
    conv = Conv(1, 5, size, size, channels, (1, 1))
    first = networks.conv_node(conv, ["x", "first"], "c")
    return networks.model([first, *nodes], networks.shape_of(conv), {"first": networks.weights_of(conv), **weights})


def check(network: onnx.ModelProto, algorithm: str) -> None:
    data = networks.random([size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim])
    actual = networks.run(dlas_ops.compile(network, networks.target(), algorithm=algorithm), data)
    networks.assert_close(actual, networks.run_onnxruntime(network, data), 1e-5)


CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, networks.Array]]] = {
    "clip": (
        [helper.make_node("Clip", ["c", "low", "high"], ["y"])],
        {"low": np.array(0.0, np.float32), "high": np.array(1.5, np.float32)},
    ),
    "clip above": ([helper.make_node("Clip", ["c", "", "high"], ["y"])], {"high": np.array(0.5, np.float32)}),
    "silu": ([helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Mul", ["c", "s"], ["y"])], {}),
    "exp": ([helper.make_node("Exp", ["c"], ["y"])], {}),
    "sine, which has no rule": ([helper.make_node("Sin", ["c"], ["y"])], {}),
    "squeeze and excitation": (
        [
            helper.make_node("GlobalAveragePool", ["c"], ["m"]),
            helper.make_node("Conv", ["m", "gate"], ["g"]),
            helper.make_node("Sigmoid", ["g"], ["s"]),
            helper.make_node("Mul", ["s", "c"], ["y"]),
        ],
        {"gate": networks.random([21, 21, 1, 1])},
    ),
    "batch norm": (
        [helper.make_node("Relu", ["c"], ["r"]), helper.make_node("BatchNormalization", ["r", *"abmv"], ["y"])],
        {name: np.abs(networks.random([21], seed)) for seed, name in enumerate("abmv")},
    ),
    "batch norm on the input": (
        [helper.make_node("BatchNormalization", ["x", *"abmv"], ["y"])],
        {name: np.abs(networks.random([5], seed)) for seed, name in enumerate("abmv")},
    ),
    "channel shuffle, split": (
        [
            helper.make_node("Reshape", ["c", "in groups"], ["g"]),
            helper.make_node("Transpose", ["g"], ["t"], perm=[0, 2, 1, 3, 4]),
            helper.make_node("Reshape", ["t", "whole"], ["s"]),
            helper.make_node("Split", ["s", "parts"], ["a", "b"], axis=1),
            helper.make_node("Conv", ["a", "w"], ["d"]),
            helper.make_node("Concat", ["b", "d"], ["y"], axis=1),
        ],
        {
            "in groups": np.array([1, 3, 7, 6, 6]),
            "whole": np.array([1, 21, 6, 6]),
            "parts": np.array([7, 14]),
            "w": networks.random([9, 7, 1, 1]),
        },
    ),
    "per-channel and scalar factors": (
        [helper.make_node("Mul", ["c", "a"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])],
        {"a": networks.random([21, 1, 1]), "b": np.array(2.0, np.float32)},
    ),
    "concatenation": ([helper.make_node("Concat", ["c", "x", "c"], ["y"], axis=1)], {}),
    "max pool, rounded up": (
        [helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
    ),
    "max pool of the input": ([helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])], {}),
    "softmax, which has no rule": ([helper.make_node("Softmax", ["c"], ["y"], axis=1)], {}),
    "transpose, which has no rule": ([helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1])], {}),
    "residual of two convolutions": (
        [helper.make_node("Conv", ["x", "w"], ["d"]), helper.make_node("Add", ["c", "d"], ["y"])],
        {"w": networks.random([21, 5, 1, 1])},
    ),
    "two outputs of one convolution": (
        [
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Neg", ["c"], ["n"]),
            helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1]),
            helper.make_node("Add", ["n", "p"], ["y"]),
        ],
        {},
    ),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", CASES)
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
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_pooling_over_drawn_windows(kind: str) -> None:
    @SETTINGS
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
