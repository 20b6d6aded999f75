"""A network of three convolutions, two of which are one tensor program: what the tests of tuning tune."""

from __future__ import annotations

import onnx
from onnx import helper

from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks

CONV = Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1))


def network() -> onnx.ModelProto:
    """Return three convolutions of one shape, the last one without what the others are fused with."""
    nodes = [
        networks.conv_node(CONV, ["x", "w0"], "a"), helper.make_node("Relu", ["a"], ["b"]),
        networks.conv_node(CONV, ["b", "w1"], "c"), helper.make_node("Relu", ["c"], ["d"]),
        networks.conv_node(CONV, ["d", "w2"], "y"),
    ]  # fmt: skip
    weights = {f"w{seed}": networks.weights_of(CONV, seed) for seed in range(3)}
    return networks.model(nodes, networks.shape_of(CONV), weights)
