"""Small networks in which operators follow a convolution, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks


def after_convolution(
    nodes: Sequence[onnx.NodeProto], weights: dict[str, networks.Array], channels: int = 21, size: int = 6
) -> onnx.ModelProto:
    """Return a pointwise convolution from x to c, which puts c into channel blocks, and `nodes` from c to y."""
    conv = Conv(1, 5, size, size, channels, (1, 1))
    first = networks.conv_node(conv, ["x", "first"], "c")
    return networks.model([first, *nodes], networks.shape_of(conv), {"first": networks.weights_of(conv), **weights})


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
    "concat, split": (
        [
            helper.make_node("Neg", ["c"], ["n"]),
            helper.make_node("Concat", ["c", "n"], ["s"], axis=1),
            helper.make_node("Split", ["s", "halves"], ["a", "b"], axis=1),
            helper.make_node("Relu", ["b"], ["d"]),
            helper.make_node("Concat", ["d", "a"], ["y"], axis=1),
        ],
        {"halves": np.array([20, 22])},
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
