"""Attributes of Relax operators → Python's integers, by what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from dlas_ops._types import Attributes
from dlas_ops.kernels.shared.dimensions import Window


def pair(values: Sequence[int]) -> tuple[int, int]:
    """Return what an attribute holds by dimension: (height, width)."""
    height, width = (int(value) for value in values)
    return height, width


def sides(padding: Sequence[int]) -> tuple[int, int, int, int]:
    """Return a padding as (top, left, bottom, right)."""
    top, left, bottom, right = (int(size) for size in padding)
    return top, left, bottom, right


def window_of(attributes: Attributes, kernel: Sequence[int]) -> Window:
    """Return what a convolution of `kernel` sees of its input."""
    stride, padding, dilation = (
        tuple(map(int, field)) for field in (attributes.strides, attributes.padding, attributes.dilation)
    )
    return Window(tuple(kernel), stride, padding[: len(kernel)], padding[len(kernel) :], dilation)
