"""Attributes of Relax operators → Python's integers, by what they mean."""

from __future__ import annotations

from collections.abc import Sequence


def pair(values: Sequence[int]) -> tuple[int, int]:
    """Return what an attribute holds by dimension: (height, width)."""
    height, width = (int(value) for value in values)
    return height, width


def sides(padding: Sequence[int]) -> tuple[int, int, int, int]:
    """Return a padding as (top, left, bottom, right)."""
    top, left, bottom, right = (int(size) for size in padding)
    return top, left, bottom, right
