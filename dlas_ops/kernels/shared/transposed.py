"""A transposed convolution → an ordinary one of pieces of its output, and which of them each output point adds up.

With stride s, the output points s * q + r for all q, phase r, are an ordinary convolution of the input by every s-th
weight. One convolution with a channel for each phase computes all of them, and no product too many if s divides the
kernel; if not, some phases have fewer weights than others and are filled up with zeros. Then each weight apart is a
pointwise convolution with as many products as there are, and each output point adds up what falls on it. `Transposed`
takes the cheaper of the two in each dimension: a piece is a phase in one, the product with one weight in the other.

Sources: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016; for the weights apart, the
gradient of im2col: Chellapilla et al., "High Performance Convolutional Neural Networks for Document Processing", 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops.kernels.shared.dimensions import Window

# Products that take as long as one element of a piece takes to be written and read again.
MOVED = 16

# A piece holds whole vectors of at least so many outputs, so that pieces are added up in vectors.
FEWEST_LANES = 4


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution over lines, maps or volumes.

    Attributes
    ----------
    sizes : of the input
    window : what it would see as an ordinary convolution from its output to its input
    output_padding : points added at the end of each dimension of the output
    inputs, outputs : channels of a group
    """

    sizes: tuple[int, ...]
    window: Window
    output_padding: tuple[int, ...]
    groups: int
    inputs: int
    outputs: int

    @cached_property
    def apart(self) -> tuple[bool, ...]:
        """Whether the pieces of each dimension are products with one weight each, rather than phases.

        A depthwise convolution multiplies where it adds up.
        """
        window, taps = self.window, self._taps
        if self.is_depthwise:
            return (True,) * len(self.sizes)

        def cost(apart: Sequence[bool]) -> int:
            every = list(zip(apart, window.kernel, window.stride, taps, strict=True))
            products = prod(size if alone else step * tap for alone, size, step, tap in every)
            return products * self.inputs + MOVED * prod(size if alone else step for alone, size, step, _ in every)

        return min(product((False, True), repeat=len(self.sizes)), key=cost)

    @property
    def pieces(self) -> tuple[int, ...]:
        """How many pieces there are in each dimension."""
        every = zip(self.apart, self.window.kernel, self.window.stride, strict=True)
        return tuple(size if alone else step for alone, size, step in every)

    @property
    def pitch(self) -> int:
        """Channels of a group's piece: its outputs and, of several pieces of one group, zeros up to whole vectors."""
        filled = self.groups == 1 and prod(self.pieces) > 1
        return -(-self.outputs // FEWEST_LANES) * FEWEST_LANES if filled else self.outputs

    @property
    def channels(self) -> int:
        """Output channels of the convolution of all pieces: (group, piece, output)."""
        return self.groups * prod(self.pieces) * self.pitch

    @property
    def is_ordinary(self) -> bool:
        """Whether the one piece that there is is the output."""
        return prod(self.pieces) == prod(self.window.stride) == 1 and not any(self.before)

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is a group."""
        return self.inputs == self.outputs == 1 < self.groups

    def lanes(self, most: int) -> int:
        """Return how many channels of a piece lie in one vector of at most `most`."""
        return gcd(self.pitch, most)

    def weight(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return the weights of the convolution of `weight`, (inputs, outputs of a group, kernel): (channels, …)."""
        rank = len(self.sizes)
        held = np.pad(weight, [(0, 0), (0, self.pitch - self.outputs), *[(0, 1)] * rank])
        for dimension in range(rank):
            held = np.take(held, self._places(dimension), axis=2 + 2 * dimension)
        split = held.reshape(self.groups, self.inputs, *held.shape[1:])
        pieces, taps = range(3, 3 + 2 * rank, 2), range(4, 4 + 2 * rank, 2)
        ordered = np.ascontiguousarray(split.transpose(0, *pieces, 2, 1, *taps))
        return ordered.reshape(self.channels, self.inputs, *(ordered.shape[-rank:]))

    def ordinary(self) -> Window:
        """Return the window of the convolution of all pieces."""
        ones = (1,) * len(self.sizes)
        taps = tuple(1 if alone else tap for alone, tap in zip(self.apart, self._taps, strict=True))
        begin = tuple(
            0 if alone else tap - 1 - first
            for alone, tap, first in zip(self.apart, self._taps, self._first, strict=True)
        )
        every = zip(self.output(), self.before, self.window.stride, self.sizes, taps, begin, strict=True)
        end = tuple(
            0 if alone else max(0, -(-(points + before) // step) - size - own + tap - 1)
            for alone, (points, before, step, size, tap, own) in zip(self.apart, every, strict=True)
        )
        return Window(taps, ones, begin, end, ones)

    @property
    def before(self) -> tuple[int, ...]:
        """How many points before the output's first one the pieces begin, in each dimension."""
        every = zip(self.apart, self.window.begin, self.window.stride, self._first, strict=True)
        return tuple(begin if alone else begin - step * first for alone, begin, step, first in every)

    def output(self) -> tuple[int, ...]:
        """Return how many points the output has in each dimension."""
        window = self.window
        every = zip(self.sizes, window.stride, window.begin, window.end, self.extents, self.output_padding, strict=True)
        return tuple(
            (size - 1) * step - before - after + extent + added for size, step, before, after, extent, added in every
        )

    def macs(self, batch: int) -> int:
        """Return the multiply-accumulates of one run, all that padding cuts off too."""
        return batch * prod(self.sizes) * self.groups * self.inputs * self.outputs * prod(self.window.kernel)

    @property
    def extents(self) -> tuple[int, ...]:
        """Points of the output that one of the input falls on, in each dimension, dilation included."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.window.kernel, self.window.dilation, strict=True))

    @property
    def _taps(self) -> tuple[int, ...]:
        """How many weights a phase has in each dimension, the zeros that fill it up included."""
        return tuple(-(-extent // step) for extent, step in zip(self.extents, self.window.stride, strict=True))

    @property
    def _first(self) -> tuple[int, ...]:
        """The first point of each dimension of a phase that is needed."""
        every = zip(self.window.begin, self.window.stride, self._taps, strict=True)
        return tuple(min(before // step, tap - 1) for before, step, tap in every)

    def _places(self, dimension: int) -> NDArray[np.int64]:
        """Return where each weight of the convolution lies in the kernel, by piece and tap; behind it where nowhere."""
        size, step, dilation = (
            field[dimension] for field in (self.window.kernel, self.window.stride, self.window.dilation)
        )
        if self.apart[dimension]:
            return np.arange(size)[:, None]
        # Flipped: an ordinary convolution reads forwards what a transposed one writes.
        place = np.arange(step)[:, None] + step * np.arange(self._taps[dimension])[::-1]
        return np.where((place % dilation == 0) & (place // dilation < size), place // dilation, size)
