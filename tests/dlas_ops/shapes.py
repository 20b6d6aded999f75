"""Strategies that draw convolutions of every kind, made to fit an algorithm, and the kinds that they must cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
# Cases that a test draws: every time, and nightly.
EXAMPLES = [4, pytest.param(100, marks=pytest.mark.nightly)]
CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 13, 16, 17, 24, 32, 40, 48, 64])

SIZES = st.sampled_from([0, 0, 1, 2, 3, 4, 6, 7, 10, 12, 16, 18, 22, 28, 36])
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)

KINDS: dict[str, Callable[[Conv], bool]] = {
    "batch 2 or 3": lambda conv: conv.batch > 1,
    "odd or prime sizes": lambda conv: (
        conv.out_height % 2 == 1 and conv.out_width in (5, 7, 11, 13, 17, 19, 23, 29, 31)
    ),
    "not square": lambda conv: conv.out_height != conv.out_width,
    "a map of one point": lambda conv: conv.out_height == conv.out_width == 1,
    "input channels in no whole vectors": lambda conv: conv.in_channels % 16 != 0,
    "output channels in no whole vectors": lambda conv: conv.out_channels % 16 != 0,
    "channels in whole vectors": lambda conv: conv.in_channels % 16 == conv.out_channels % 16 == 0,
    "1x1 kernels": lambda conv: conv.kernel == (1, 1),
    "3x3 kernels": lambda conv: conv.kernel == (3, 3),
    "kernels of 6 or 7": lambda conv: max(conv.kernel) > 5,
    "rectangular kernels": lambda conv: conv.kernel[0] != conv.kernel[1],
    "stride 2": lambda conv: 2 in conv.stride,
    "stride 3": lambda conv: 3 in conv.stride,
    "dilation": lambda conv: max(conv.dilation) > 1,
    "border": lambda conv: any(conv.padding),
    "asymmetric border": lambda conv: conv.padding[:2] != conv.padding[2:],
    "depthwise": lambda conv: conv.operator == "depthwise_conv2d",
    "grouped": lambda conv: conv.operator == "grouped_conv2d",
}


@st.composite
def convolutions(draw: st.DrawFn, algorithm: str = "") -> Conv:
    """Draw a convolution of at least one output point; half of them such that `algorithm` does not fall back."""
    kernel = (
        (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
        if draw(st.booleans())
        else draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (7, 7)]))
    )
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    padding = draw(st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 3), (3, 0, 1, 2)]))
    extent = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    least = [max(1, extent[0] - padding[0] - padding[2]), max(1, extent[1] - padding[1] - padding[3])]
    rows, columns = draw(st.one_of(st.just((0, 0)), st.tuples(SIZES, SIZES)))
    kind = draw(st.sampled_from(["dense", "dense", "dense", "depthwise", "grouped"]))
    inputs, outputs, groups = draw(CHANNELS), draw(CHANNELS), 1
    if kind == "depthwise":
        outputs = groups = inputs
    elif kind == "grouped":
        groups = draw(st.integers(2, 5))
        inputs, outputs = groups * draw(st.integers(1, 20)), groups * draw(st.integers(1, 20))
    conv = Conv(
        draw(st.integers(1, 3)), inputs, least[0] + rows, least[1] + columns, outputs, kernel,
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))), padding, dilation, groups,
    )  # fmt: skip
    return made_to_fit(conv, algorithm) if algorithm and draw(st.booleans()) else conv


def made_to_fit(conv: Conv, algorithm: str) -> Conv:
    """Return `conv` or, where the algorithm does not run it, the next one that it does."""
    asked = Asked(algorithm)
    small = {"kernel": (3, 3), "height": max(conv.height, 3), "width": max(conv.width, 3)}
    changes: list[dict[str, object]] = [{}, {"groups": 1}, {"stride": (1, 1), "dilation": (1, 1), **small}]
    for change in changes:
        conv = replace(conv, **change)  # type: ignore[arg-type]
        if asked.module.supports(conv, networks.target()) is None:
            return conv
    raise AssertionError(f"{algorithm} runs no convolution that these draw")


def conv3x3(channels: int, size: int, out_channels: int) -> Conv:
    """Return a convolution of 3 x 3 kernels whose output is as large as its input."""
    return Conv(1, channels, size, size, out_channels, (3, 3), padding=(1, 1, 1, 1))


@st.composite
def weights(draw: st.DrawFn) -> networks.Array:
    """Draw OIHW weights of up to 40 channels each way."""
    channels = st.integers(1, 40)
    return networks.random((draw(channels), draw(channels), draw(st.integers(1, 3)), draw(st.integers(1, 3))))
