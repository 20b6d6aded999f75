"""A tensor in channel blocks → the same, normalised over groups of its channels, or over the channels of each point."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor
from dlas_ops.kernels.shared.blocks import ONCE, wide

te, tirx = tvm.te, tvm.tirx


def channel_norm(data: Tensor, gamma: Tensor, beta: Tensor, channels: int, epsilon: float) -> Tensor:
    """Return blocked `data` normalised over the channels of each point, times `gamma`, plus `beta`.

    `gamma` and `beta` are (1, channels / block, 1, 1, block).
    """
    batch, blocks, height, width, block = (int(size) for size in data.shape)

    def summed(element: Tensor, name: str) -> Tensor:
        """Sum over channels: in the lanes of a vector, then over these."""
        co, lane = te.reduce_axis((0, blocks), "co"), te.reduce_axis((0, block), "lane")

        def own(n: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
            held = element[n, co, h, w, ci]
            inside = co * block + ci < channels
            return te.sum(
                held if blocks * block == channels else tirx.Select(inside, held, tirx.const(0, element.dtype)), axis=co
            )

        lanes = te.compute((batch, height, width, block), own, name=f"{name}_lanes")
        return te.compute((batch, height, width), lambda *point: te.sum(lanes[(*point, lane)], axis=lane), name=name)

    held = te.compute(data.shape, lambda *index: data[index].astype(wide(data.dtype)), name="held")
    total = summed(held, "total")

    def centred(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        return held[n, co, h, w, ci] - total[n, h, w] * (1.0 / channels)

    deviation = te.compute(data.shape, centred, name="deviation")
    squares = summed(te.compute(data.shape, lambda *i: deviation[i] * deviation[i], name="square"), "squares")
    factor = te.compute(
        squares.shape, lambda *i: tirx.rsqrt(squares[i] * (1.0 / channels) + epsilon), name="factor", attrs=ONCE
    )

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        return deviation[n, co, h, w, ci] * factor[n, h, w] * gamma[0, co, 0, 0, ci] + beta[0, co, 0, 0, ci]

    return te.compute(data.shape, element, name="output")


def group_norm(data: Tensor, gamma: Tensor, beta: Tensor, channels: int, groups: int, epsilon: float) -> Tensor:
    """Return blocked `data` normalised over each group of channels, times `gamma`, plus `beta`.

    `gamma` and `beta` are (1, channels / block, 1, 1, block).
    """
    batch, blocks, _, _, block = (int(size) for size in data.shape)
    own = channels // groups
    mean, variance = moments(data, channels, groups)

    def group(co: Expr, ci: Expr) -> Expr:
        return tirx.min(co * block + ci, channels - 1) // own

    factor = te.compute(
        (batch, blocks, block),
        lambda n, co, ci: tirx.rsqrt(variance[n, group(co, ci)] + epsilon) * gamma[0, co, 0, 0, ci],
        name="factor",
        attrs=ONCE,
    )
    term = te.compute(
        (batch, blocks, block),
        lambda n, co, ci: beta[0, co, 0, 0, ci] - mean[n, group(co, ci)] * factor[n, co, ci],
        name="term",
        attrs=ONCE,
    )

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        return data[n, co, h, w, ci].astype(factor.dtype) * factor[n, co, ci] + term[n, co, ci]

    return te.compute(data.shape, element, name="output")


def variance(data: Tensor, channels: int) -> Tensor:
    """Return the variance over height and width of blocked `data`, as (batch, channels, 1, 1)."""
    _, found = moments(data, channels, channels)
    return te.compute((int(data.shape[0]), channels, 1, 1), lambda n, c, *_: found[n, c], name="output")


def moments(data: Tensor, channels: int, groups: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance over each of the `groups` of channels of blocked `data`, (batch, groups) each."""
    batch, blocks, height, width, block = (int(size) for size in data.shape)
    own = channels // groups
    share = 1.0 / (own * height * width)
    dtype = wide(data.dtype)

    def over_maps(element: Tensor, name: str) -> Tensor:
        h, w = te.reduce_axis((0, height), "h"), te.reduce_axis((0, width), "w")
        shape = (batch, blocks, block)
        return te.compute(shape, lambda n, co, ci: te.sum(element[n, co, h, w, ci], axis=[h, w]), name=name)

    def over_groups(sums: Tensor, name: str) -> Tensor:
        c = te.reduce_axis((0, own), "c")

        def element(n: Expr, g: Expr) -> Expr:
            channel = g * own + c
            return te.sum(sums[n, channel // block, channel % block], axis=c)

        total = te.compute((batch, groups), element, name=f"{name}_total")
        return te.compute((batch, groups), lambda *i: total[i] * share, name=name)

    held = te.compute(data.shape, lambda *index: data[index].astype(dtype), name="held")
    mean = over_groups(over_maps(held, "sums"), "mean")
    centre = te.compute(
        (batch, blocks, block),
        lambda n, co, ci: mean[n, tirx.min(co * block + ci, channels - 1) // own],
        name="centre",
        attrs=ONCE,
    )

    def square(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        deviation = held[n, co, h, w, ci] - centre[n, co, ci]
        return deviation * deviation

    squares = over_maps(te.compute(data.shape, square, name="square"), "squares")
    return mean, over_groups(squares, "variance")
