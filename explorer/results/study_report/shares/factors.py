"""Measured stacks → the factors that vary among them, layer by layer or axis by axis, each with its levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.core.configuration import AXES, EXISTS, LAYERS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MOST_VALUES = 16  # of a numeric axis in a forest; a finer one is cut into as many bins of equally many stacks


@dataclass(frozen=True)
class Factor:
    """A layer, or an axis, on which the stacks differ.

    Parameters
    ----------
    axes
        The axes whose choices together make a level.
    levels
        One row for each combination of their choices that a stack has.
    of
        Which level each stack has, shape (stacks,).
    """

    name: str
    axes: tuple[str, ...]
    levels: pd.DataFrame
    of: NDArray[np.intp]


def layers(rows: pd.DataFrame) -> list[Factor]:
    """Return each layer of the stack on which `rows` differ."""
    return _factors(rows, LAYERS)


def axes(rows: pd.DataFrame) -> list[Factor]:
    """Return each axis on which `rows` differ.

    One that exists with some choices of another alone, as the ratio does, is part of that other one: ``compression``
    then has a level for each compression and ratio.
    """
    parent = {axis: deciding[0] for axis, (deciding, _) in EXISTS.items() if rows[axis].isna().any()}
    if "tuner" in parent and rows["tuning_trials"].nunique() < 2 <= rows["tuning_seconds"].nunique():
        parent["tuner"] = "tuning_seconds"
    groups: dict[str, tuple[str, ...]] = {}
    for axis in AXES:
        root = parent.get(axis, axis)
        groups[root] = (*groups.get(root, ()), axis)
    return _factors(rows, groups)


def binned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `rows` with numeric axes of more than `MOST_VALUES` values cut into bins, each at its median."""
    import pandas as pd

    found = rows
    for axis in AXES:
        if pd.api.types.is_numeric_dtype(rows[axis]) and rows[axis].nunique() > MOST_VALUES:
            bins = pd.qcut(rows[axis], MOST_VALUES, labels=False, duplicates="drop")
            found = found.assign(**{axis: rows.groupby(bins)[axis].transform("median")})
    return found


def _factors(rows: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> list[Factor]:
    import numpy as np

    found = []
    for name, own in groups.items():
        varying = [axis for axis in own if rows[axis].nunique(dropna=False) > 1]
        if varying:
            choices = rows[varying]
            plain = choices.astype(object).where(choices.notna(), None)
            of = plain.groupby(varying, dropna=False, sort=False).ngroup()
            levels = plain[~plain.assign(of=of)["of"].duplicated()].reset_index(drop=True)
            found.append(Factor(name, tuple(varying), levels, np.asarray(of, dtype=np.intp)))
    return found
