"""The layout with points innermost: NCHW with each map's points in whole vectors, and its way from and to others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor
from dlas_ops.kernels.shared.blocks import read_channel
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import maps_of, position
from dlas_ops.processor.targets import Processor

te, tirx = tvm.te, tvm.tirx

POINTS = -1  # stands in place of a channel block for this layout

# Vectors of points of a large map come in multiples of one of these, so that tiles divide it.
TILES = range(14, 6, -1)


def pitch(points: int, processor: Processor) -> int:
    """Return how many elements hold a map of `points`: whole vectors, or a power of two if it fills less than one.

    A large map has as many vectors as some register tile divides.
    """
    lanes = processor.lanes()
    if points < lanes:
        return 1 << (points - 1).bit_length()
    vectors = -(-points // lanes)
    if vectors > TILES[0]:
        vectors = min(-(-vectors // tile) * tile for tile in TILES)
    return vectors * lanes


def read(data: Tensor, width: int, image: Expr, channel: Expr, row: Expr, column: Expr) -> Expr:
    """Read one element of `data`, whose map is `width` wide, in any layout."""
    if len(data.shape) == 3:
        return data[image, channel, row * width + column]
    return read_channel(data, image, channel, row, column)


def bordered(data: Tensor, conv: Conv, rows: int) -> Tensor:
    """Return the input of `conv`, held in any layout, as NCHW with its border, and zeros below it, for `rows` outputs.

    What is repacked from it needs no conditions, so that it is copied in whole vectors.
    """
    top, left = conv.padding[:2]
    height, width = bordered_shape(conv, rows)
    if len(data.shape) == 4 and (top, left, height, width) == (0, 0, conv.height, conv.width):
        return data

    def element(n: Expr, c: Expr, h: Expr, w: Expr) -> Expr:
        row, column = h - top, w - left
        inside = tirx.all(row >= 0, row < conv.height, column >= 0, column < conv.width)
        return tirx.if_then_else(inside, read(data, conv.width, n, c, row, column), tirx.const(0.0, data.dtype))

    return te.compute((conv.batch, conv.in_channels, height, width), element, name="bordered")


def bordered_shape(conv: Conv, rows: int) -> tuple[int, int]:
    """Return the height and width of what `bordered` returns."""
    height = (rows - 1) * conv.stride[0] + conv.extent[0]
    return height, (conv.out_width - 1) * conv.stride[1] + conv.extent[1]


def gather(data: Tensor, shape: tuple[int, ...], processor: Processor) -> Tensor:
    """Return `data`, which holds NCHW of `shape` in any layout, as (batch, channels, pitch)."""
    batch, channels, height, width = shape

    def element(n: Expr, c: Expr, p: Expr) -> Expr:
        held = read(data, width, n, c, p // width, p % width)
        return tirx.if_then_else(p < height * width, held, tirx.const(0.0, data.dtype))

    return te.compute((batch, channels, pitch(height * width, processor)), element, name="points")


def gathered(data: Tensor, conv: Conv, processor: Processor) -> Tensor:
    """Return the input of `conv`, held in any layout, with its points innermost."""
    if len(data.shape) == 3:
        return data
    return gather(data, (conv.batch, conv.in_channels, conv.height, conv.width), processor)


def scatter(data: Tensor, shape: tuple[int, ...], block: int = 0) -> Tensor:
    """Return `data`, points innermost, as a plain tensor of `shape` or, NCHW, in channel blocks of `block`."""
    if not block:
        return te.compute(shape, lambda *index: read(data, maps_of(shape)[3], *position(shape, index)), name="unpacked")
    batch, channels, height, width = shape
    blocks = -(-channels // block)

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * block + ci
        held = data[n, channel, h * width + w]
        return tirx.if_then_else(channel < channels, held, tirx.const(0.0, data.dtype))

    return te.compute((batch, blocks, height, width, block), element, name="packed")


def constant(array: NDArray[Any], map_shape: Sequence[int], processor: Processor) -> NDArray[Any]:
    """Return a constant that broadcasts against NCHW such that it broadcasts against (batch, channels, pitch).

    `map_shape` is the height and width of a map.
    """
    full = array.reshape((1,) * (4 - array.ndim) + array.shape)
    if full.shape[2:] == (1, 1):
        return full[..., 0]
    maps = np.broadcast_to(full, (*full.shape[:2], *map_shape)).reshape(*full.shape[:2], -1)
    beyond = pitch(maps.shape[2], processor) - maps.shape[2]
    return np.asarray(np.pad(maps, ((0, 0), (0, 0), (0, beyond))))
