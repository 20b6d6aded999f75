"""A transposed convolution → an ordinary one that computes all phases of its output, and where each phase goes.

With stride s, the output points at s * q + r for all q, phase r, are an ordinary convolution of the input by every
s-th weight. One convolution with a channel for each phase computes all of them. Phases of fewer weights than others are
filled with zeros.

Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops.kernels.shared.dimensions import Window


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution over lines, maps or volumes.

    Attributes
    ----------
    sizes : of the input
    window : what it would see as an ordinary convolution from its output to its input
    output_padding : points added at the end of each dimension of the output
    """

    sizes: tuple[int, ...]
    window: Window
    output_padding: tuple[int, ...]
    groups: int

    @property
    def phases(self) -> int:
        """How many phases the output has."""
        return prod(self.window.stride)

    def dense(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return `weight`, (inputs, outputs of a group, kernel), with zeros between what is dilated."""
        extents = self._extents()
        filled = np.zeros((*weight.shape[:2], *extents), weight.dtype)
        filled[(slice(None), slice(None), *(slice(None, None, step) for step in self.window.dilation))] = weight
        return filled

    def weight(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return the weights of the convolution, (groups * phases * outputs of a group, inputs of a group, taps)."""
        stride, taps = self.window.stride, self.taps()
        full = np.zeros((*weight.shape[:2], *(s * t for s, t in zip(stride, taps, strict=True))), weight.dtype)
        full[(slice(None), slice(None), *map(slice, self._extents()))] = self.dense(weight)
        inputs, outputs = weight.shape[0] // self.groups, weight.shape[1]
        by_phase = [
            full[(slice(None), slice(None), *(slice(r, None, s) for r, s in zip(phase, stride, strict=True)))]
            for phase in product(*map(range, stride))
        ]
        flipped = np.flip(np.stack(by_phase), tuple(range(3, 3 + len(taps))))
        split = flipped.reshape(self.phases, self.groups, inputs, outputs, *taps)
        ordered = split.transpose(1, 0, 3, 2, *range(4, 4 + len(taps)))
        return np.ascontiguousarray(ordered).reshape(-1, inputs, *taps)

    def taps(self) -> tuple[int, ...]:
        """Return how many weights a phase has in each dimension, the zeros that fill it up included."""
        return tuple(-(-extent // step) for extent, step in zip(self._extents(), self.window.stride, strict=True))

    def ordinary(self) -> Window:
        """Return the window of the convolution of all phases."""
        taps, ones = self.taps(), (1,) * len(self.sizes)
        begin = tuple(tap - 1 - first for tap, first in zip(taps, self._first(), strict=True))
        every = zip(self.output(), self.crop(), self.window.stride, self.sizes, taps, begin, strict=True)
        end = tuple(
            max(0, -(-(points + crop) // step) - size - before + tap - 1)
            for points, crop, step, size, tap, before in every
        )
        return Window(taps, ones, begin, end, ones)

    def crop(self) -> tuple[int, ...]:
        """Return how many points before the output's first one the phases have, in each dimension."""
        every = zip(self.window.begin, self.window.stride, self._first(), strict=True)
        return tuple(before - step * first for before, step, first in every)

    def output(self) -> tuple[int, ...]:
        """Return how many points the output has in each dimension."""
        window = self.window
        every = zip(
            self.sizes, window.stride, window.begin, window.end, self._extents(), self.output_padding, strict=True
        )
        return tuple(
            (size - 1) * step - before - after + extent + added for size, step, before, after, extent, added in every
        )

    def macs(self, weight: Sequence[int], batch: int) -> int:
        """Return the multiply-accumulates of one run with `weight` of that shape, all that padding cuts off too."""
        return batch * prod(self.sizes) * prod(weight)

    def _first(self) -> tuple[int, ...]:
        """Return the first point of each dimension of a phase that is needed."""
        every = zip(self.window.begin, self.window.stride, self.taps(), strict=True)
        return tuple(min(before // step, tap - 1) for before, step, tap in every)

    def _extents(self) -> tuple[int, ...]:
        return tuple((size - 1) * step + 1 for size, step in zip(self.window.kernel, self.window.dilation, strict=True))
