"""Every algorithm, and the schedules it falls back to, against the NumPy reference over drawn shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops import reference
from dlas_ops.convolution import Conv
from tests.dlas_ops import small_networks as networks

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 13, 16, 17, 24, 32, 40, 48, 64])


@st.composite
def convolutions(draw: st.DrawFn) -> Conv:
    """Draw a convolution of at least one output point."""
    kernel = (
        (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
        if draw(st.booleans())
        else draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (7, 7)]))
    )
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    padding = draw(st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 3), (3, 0, 1, 2)]))
    extent = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    least = [max(1, extent[0] - padding[0] - padding[2]), max(1, extent[1] - padding[1] - padding[3])]
    size = st.sampled_from([0, 0, 1, 3, 7, 12, 16, 28, 36])
    kind = draw(st.sampled_from(["dense", "dense", "dense", "depthwise", "grouped"]))
    inputs, outputs, groups = draw(CHANNELS), draw(CHANNELS), 1
    if kind == "depthwise":
        outputs = groups = inputs
    elif kind == "grouped":
        groups = draw(st.integers(2, 5))
        inputs, outputs = groups * draw(st.integers(1, 20)), groups * draw(st.integers(1, 20))
    return Conv(
        draw(st.integers(1, 3)), inputs, least[0] + draw(size), least[1] + draw(size), outputs, kernel,
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))), padding, dilation, groups,
    )  # fmt: skip


def check(conv: Conv, algorithm: str) -> None:
    """Run the convolution with bias and ReLU, then again in blocked layout with a residual."""
    weight, bias, data = (
        networks.weights_of(conv),
        networks.random([conv.out_channels]),
        networks.random(networks.shape_of(conv)),
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["pre"]),
        networks.conv_node(conv, ["pre", "w", "b"], "c"),
        helper.make_node("Relu", ["c"], ["a"]),
        helper.make_node("Conv", ["a", "point"], ["p"]),
        helper.make_node("Add", ["p", "a"], ["y"]),
    ]
    point = networks.random([conv.out_channels, conv.out_channels, 1, 1], 3)
    network = networks.model(nodes, networks.shape_of(conv), {"w": weight, "b": bias, "point": point})
    actual = networks.run(dlas_ops.compile(network, networks.target(), algorithm=algorithm), data)
    middle = np.maximum(reference.conv2d(np.maximum(data, 0), weight, conv) + bias[:, None, None], 0)
    height, width = middle.shape[2:]
    pointwise = Conv(conv.batch, conv.out_channels, height, width, conv.out_channels, (1, 1))
    networks.assert_close(actual, reference.conv2d(middle, point, pointwise) + middle, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str) -> None:
    @settings(SETTINGS, max_examples=50)
    @given(convolutions())
    def cases(conv: Conv) -> None:
        check(conv, algorithm)

    cases()


@pytest.mark.nightly
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_drawn_shapes(algorithm: str) -> None:
    @settings(SETTINGS, max_examples=500, derandomize=False)
    @given(convolutions())
    def cases(conv: Conv) -> None:
        check(conv, algorithm)

    cases()
