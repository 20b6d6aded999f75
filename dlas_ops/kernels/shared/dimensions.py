"""Tensors and convolutions over lines, maps or volumes → the maps that hold them and the 2-D convolution of these.

A line (N, C, W) is a map of one row, (N, C, 1, W). A volume (N, C, D, H, W) is held as D maps, (N * D, C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlas_ops._types import Expr, Shape
from dlas_ops.kernels.shared.convolution import Conv

# Ranks of the tensors that channel blocks can hold.
RANKS = (3, 4, 5)

Index = TypeVar("Index", int, Expr)


def maps_of(shape: Shape) -> Shape:
    """Return the NCHW shape that holds a tensor of `shape`, which has one of `RANKS`."""
    batch, channels, *sizes = shape
    *slices, height, width = [1, *sizes] if len(sizes) == 1 else sizes
    return batch * prod(slices), channels, height, width


def position(shape: Shape, index: Sequence[Expr]) -> tuple[Expr, Expr, Expr, Expr]:
    """Return where the maps of a tensor of `shape` hold its element at `index`: image, channel, row and column."""
    if len(shape) == 3:
        image, channel, column = index
        return image, channel, 0, column
    if len(shape) == 4:
        image, channel, row, column = index
        return image, channel, row, column
    image, channel, piece, row, column = index
    return image * shape[2] + piece, channel, row, column


def place(shape: Shape, image: Expr, channel: Expr, row: Expr, column: Expr) -> tuple[Expr, ...]:
    """Return the index into a tensor of `shape` of an element of its maps: the inverse of `position`."""
    if len(shape) == 3:
        return image, channel, column
    if len(shape) == 4:
        return image, channel, row, column
    return image // shape[2], channel, image % shape[2], row, column


def constant_maps(array: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return an array that broadcasts against a tensor of `shape` such that it broadcasts against the tensor's maps."""
    full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    if len(shape) == 3:
        return full[:, :, None]
    if len(shape) == 4:
        return full
    if full.shape[0] == full.shape[2] == 1:
        return full[:, :, 0]
    every = np.broadcast_to(full, (shape[0], full.shape[1], shape[2], *full.shape[3:]))
    return every.swapaxes(1, 2).reshape(-1, full.shape[1], *full.shape[3:])


@dataclass(frozen=True)
class Window:
    """The window of a convolution, dimension by dimension, outermost first; `begin` and `end` are padding."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    dilation: tuple[int, ...]

    def output(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return how many points there are in each dimension for an input of `sizes`."""
        extents = ((size - 1) * step + 1 for size, step in zip(self.kernel, self.dilation, strict=True))
        every = zip(sizes, self.begin, self.end, extents, self.stride, strict=True)
        return tuple((size + before + after - extent) // step + 1 for size, before, after, extent, step in every)

    def flat(self) -> Window:
        """Return the two-dimensional window: of a line that of one row, of a volume that in each of its slices."""
        fields = (self.kernel, self.stride, self.begin, self.end, self.dilation)
        neutral = (1, 1, 0, 0, 1)
        return Window(*((each, *field)[-2:] for each, field in zip(neutral, fields, strict=True)))


@dataclass(frozen=True)
class Slices:
    """The slices of a volume that one slice of a convolution's output reads, stacked along channels.

    Attributes
    ----------
    depth, outputs : slices of each image's input and output
    groups : of the convolution; the slices of a group's channels are stacked side by side
    """

    depth: int
    outputs: int
    kernel: int
    stride: int
    begin: int
    dilation: int
    groups: int

    @property
    def trivial(self) -> bool:
        """Whether the stack is the input itself."""
        return self.kernel == self.stride == 1 and self.outputs == self.depth and not self.begin

    def source(self, image: Expr, channel: Expr, channels: int) -> tuple[Expr, Expr, Expr]:
        """Return image, slice and channel that the stack of an input of `channels` holds in its `image` and `channel`.

        A slice less than 0 or not less than `depth` lies beyond the volume.
        """
        own = channels // self.groups
        group, tap, inner = channel // (self.kernel * own), channel // own % self.kernel, channel % own
        piece = image % self.outputs * self.stride + tap * self.dilation - self.begin
        return image // self.outputs, piece, group * own + inner

    @property
    def inside(self) -> bool:
        """Whether the convolution sees no border before the first slice or behind the last."""
        return not self.begin and self._span <= self.depth

    @property
    def bordered(self) -> int:
        """Slices of each image with the border that the convolution sees; all of them where it sees none."""
        return self.depth if self.inside else self._span

    @property
    def _span(self) -> int:
        return (self.outputs - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    def seen(self, image: Expr, tap: Expr) -> Expr:
        """Return which of the bordered slices of all images weight `tap` sees for slice `image` of the output."""
        return image // self.outputs * self.bordered + image % self.outputs * self.stride + tap * self.dilation


def slices_of(shape: Shape, window: Window, groups: int) -> Slices | None:
    """Return how the slices of an input of `shape` are stacked for `window`; None if there is nothing to stack."""
    if len(shape) != 5:
        return None
    stated = (window.kernel[0], window.stride[0], window.begin[0], window.dilation[0])
    slices = Slices(shape[2], window.output(shape[2:])[0], *stated, groups)
    return None if slices.trivial else slices


def conv_of(shape: Shape, outputs: int, window: Window, groups: int) -> Conv:
    """Return the two-dimensional convolution that computes that of `shape` by `window` to `outputs` channels."""
    batch, channels, height, width = maps_of(shape)
    if len(shape) == 5:
        batch, channels = shape[0] * window.output(shape[2:])[0], channels * window.kernel[0]
    flat = window.flat()
    pairs = [(field[0], field[1]) for field in (flat.kernel, flat.stride, flat.begin, flat.end, flat.dilation)]
    kernel, stride, begin, end, dilation = pairs
    return Conv(batch, channels, height, width, outputs, kernel, stride, (*begin, *end), dilation, groups)


def kernels_of(weight: NDArray[Any]) -> NDArray[Any]:
    """Return weights (O, I, kernel) over any number of dimensions as the OIHW ones of that convolution."""
    if weight.ndim == 3:
        return weight[:, :, None]
    if weight.ndim == 4:
        return weight
    outputs, inputs, depth, *kernel = weight.shape
    return np.ascontiguousarray(weight.swapaxes(1, 2)).reshape(outputs, depth * inputs, *kernel)
