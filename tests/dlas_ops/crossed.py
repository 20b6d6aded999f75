"""Axes of parameters → their product, of which every run of the tests has a part that pairs all values.

A fault that three values make together may be left to the nightly run; what one value or two of them make is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest


def crossed(*axes: Iterable[Any]) -> list[Any]:
    """Return every combination of a value of each axis; all but one in n of them, of the last axis's n, are nightly.

    Those left are one for every combination of the other axes. Where the axes are more than two, each pair of values
    is among them, if no axis has fewer values than the last one.
    """
    lists = [list(axis) for axis in axes]
    places = product(*(range(len(values)) for values in lists))
    return [
        pytest.param(
            *(values[place] for values, place in zip(lists, combination, strict=True)),
            marks=pytest.mark.nightly if sum(combination) % len(lists[-1]) else (),
        )
        for combination in places
    ]
