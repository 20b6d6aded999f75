"""Every algorithm, and the schedules it falls back to, against the NumPy reference over drawn shapes."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.shapes import KINDS, SETTINGS, convolutions

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
# Of the largest output or its deviation, which is larger where the ReLU leaves little: sums of thousands of products in
# float32; weights and inputs rounded to 11 bits, and up to 64 products summed in them. Among thousands of drawn layers
# such sums once added 2.3e-3, where rounding alone stays below 2e-3.
TOLERANCES = {"float32": 1e-5, "float16": 4e-3}


def check(conv: Conv, algorithm: str, blocked: bool, dtype: str = "float32") -> None:
    """Run the convolution with bias and ReLU, on a plain input or on one that a layer before it left in blocks."""
    weight, bias = networks.weights_of(conv), networks.random([conv.out_channels])
    data = networks.random(networks.shape_of(conv))
    nodes = [
        helper.make_node("MaxPool", ["x"], ["before"], kernel_shape=[1, 1]),
        networks.conv_node(conv, ["before" if blocked else "x", "w", "b"], "c"),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    network = networks.model(nodes[not blocked :], networks.shape_of(conv), {"w": weight, "b": bias})
    compiled = dlas_ops.compile(network, networks.target(), algorithm=algorithm, dtype=dtype)
    expected = np.maximum(reference.conv2d(data, weight, conv) + bias[:, None, None], 0)
    scale = max(float(expected.max()), sqrt(conv.macs / expected.size))
    np.testing.assert_allclose(networks.run(compiled, data), expected, rtol=0, atol=TOLERANCES[dtype] * scale)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    "conv",
    [
        Conv(1, 4, 1, 1, 2, (1, 1), groups=2),
        Conv(3, 1, 3, 14, 1, (7, 6), padding=(3, 0, 1, 2), dilation=(1, 3)),
    ],
)
def test_shapes_that_once_failed(conv: Conv, dtype: str) -> None:
    check(conv, "gemm", False, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str) -> None:
    @settings(SETTINGS, max_examples=50)
    @given(convolutions(algorithm), st.booleans())
    def cases(conv: Conv, blocked: bool) -> None:
        check(conv, algorithm, blocked)

    cases()


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_drawn_shapes(algorithm: str) -> None:
    @settings(SETTINGS, max_examples=2000, derandomize=False)
    @given(convolutions(algorithm), st.booleans(), st.sampled_from(["float32", "float32", "float32", "float16"]))
    def cases(conv: Conv, blocked: bool, dtype: str) -> None:
        check(conv, algorithm, blocked, dtype)

    cases()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_drawn_shapes_are_of_all_kinds(algorithm: str) -> None:
    drawn: list[Conv] = []

    @settings(SETTINGS, max_examples=500)
    @given(convolutions(algorithm))
    def collect(conv: Conv) -> None:
        drawn.append(conv)

    collect()
    found = Counter(kind for conv in drawn for kind, is_of in KINDS.items() if is_of(conv))
    assert {kind: found[kind] for kind in KINDS if found[kind] < len(drawn) / 50} == {}
    ran = [conv for conv in drawn if Asked(algorithm).module.supports(conv, networks.target()) is None]
    assert len(ran) > len(drawn) / 3
