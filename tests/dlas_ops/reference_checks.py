"""A convolution and an algorithm → whether the compiled layer computes what the NumPy reference does."""

from __future__ import annotations

from math import sqrt

import numpy as np
import onnx
from onnx import helper

import dlas_ops
from dlas_ops._types import Array
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks

# Of the largest output or its deviation, which is larger where the ReLU leaves little: sums of thousands of products in
# float32; weights and inputs rounded to 11 bits, and up to 64 products summed in them. Among thousands of drawn layers
# such sums once added 2.3e-3, where rounding alone stays below 2e-3.
TOLERANCES = {"float32": 1e-5, "float16": 4e-3}


def check(conv: Conv, algorithm: str, blocked: bool, dtype: str = "float32") -> None:
    """Run the convolution with bias and ReLU, on a plain input or on one that a layer before it left in blocks."""
    network, data, expected = case(conv, blocked)
    compiled = dlas_ops.compile(network, networks.target(), algorithm=algorithm, dtype=dtype)
    compare(networks.run(compiled, data), expected, conv, dtype)


def case(conv: Conv, blocked: bool) -> tuple[onnx.ModelProto, Array, Array]:
    """Return a network of the convolution with bias and ReLU, an input for it, and the output by the reference."""
    weight, bias = networks.weights_of(conv), networks.random([conv.out_channels])
    data = networks.random(networks.shape_of(conv))
    nodes = [
        helper.make_node("MaxPool", ["x"], ["before"], kernel_shape=[1, 1]),
        networks.conv_node(conv, ["before" if blocked else "x", "w", "b"], "c"),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    network = networks.model(nodes[not blocked :], networks.shape_of(conv), {"w": weight, "b": bias})
    return network, data, np.maximum(reference.conv2d(data, weight, conv) + bias[:, None, None], 0)


def compare(output: Array, expected: Array, conv: Conv, dtype: str) -> None:
    """Compare an output with that of the reference, within the dtype's tolerance."""
    scale = max(float(expected.max()), sqrt(conv.macs / expected.size))
    np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCES[dtype] * scale)
