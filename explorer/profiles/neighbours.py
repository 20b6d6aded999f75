"""Trials on record and one of them → the trial of the same stack but for some choices, such as its base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from explorer.core.configuration import AXES
from explorer.core.errors import ExplorerError

if TYPE_CHECKING:
    import pandas as pd

# Choices of the base of a stack: the same one without its compression.
UNCOMPRESSED: Mapping[str, object] = {
    "compression": "none", "ratio": None, "channel_multiple": None, "max_drop": None, "format": "dense"
}  # fmt: skip


def base_of(frame: pd.DataFrame, number: int) -> int:
    """Return the number of the complete trial that is the base of trial `number`: the same stack, uncompressed.

    Raises
    ------
    ExplorerError
        If there is none, or the trial is uncompressed itself.
    """
    stack = stack_of(frame, number)
    if stack["compression"] == "none":
        raise ExplorerError(f"trial {number} has no compression, and so no base; give another trial")
    found = neighbour(frame, number, UNCOMPRESSED)
    if found is None:
        wanted = ", ".join(f'{axis} = "{stack[axis]}"' for axis in ("model", "algorithm", "device"))
        raise ExplorerError(
            f"the base of trial {number} is not on record; add compression none with {wanted} to the space, or give "
            "another trial"
        )
    return found


def neighbour(frame: pd.DataFrame, number: int, changes: Mapping[str, object]) -> int | None:
    """Return the latest complete trial that is trial `number` but for `changes`, axis → choice; None if there is none.

    Parameters
    ----------
    frame
        One row per finished trial, see `explorer.frame`.
    """
    wanted = {**stack_of(frame, number), **changes}
    rows = frame[frame["state"] == "complete"]
    for axis in AXES:
        choice = wanted[axis]
        rows = rows[rows[axis].isna() if choice is None else rows[axis] == choice]
    return None if rows.empty else int(rows["number"].iloc[-1])


def stack_of(frame: pd.DataFrame, number: int) -> dict[str, object]:
    """Return axis → choice of a trial; None on an axis that its stack does not have."""
    (row,) = frame[frame["number"] == number][list(AXES)].to_dict("records")
    return {axis: None if row[axis] != row[axis] else row[axis] for axis in AXES}  # NaN is not itself
