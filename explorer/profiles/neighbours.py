"""Trials on record and one of them → the trial of the same stack but for some choices, such as its base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
        raise ExplorerError(
            f"the base of trial {number}, the same stack with compression none, is not on record; run more trials of a "
            f"space that has it, or give {_instead(frame, number)}"
        )
    return found


def _instead(frame: pd.DataFrame, number: int) -> str:
    """Return what to hold trial `number` against where its base is not on record: the uncompressed stack nearest to it.

    Both have the same network before its compression, and the same device.
    """
    wanted = {**stack_of(frame, number), **UNCOMPRESSED}
    rows = frame[(frame["state"] == "complete") & (frame["compression"] == "none")]
    for axis in ("dataset", "model", "width", "device"):
        rows = rows[_has(rows[axis], wanted[axis])]
    stacks = zip(map(int, rows["number"]), _stacks(rows), strict=True)
    differing = {each: [axis for axis in AXES if stack[axis] != wanted[axis]] for each, stack in stacks}
    if not differing:
        return "another trial"
    nearest = min(differing, key=lambda each: (len(differing[each]), -each))
    return f"trial {nearest} in its place, which differs in {' and '.join(differing[nearest])} as well"


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
        rows = rows[_has(rows[axis], wanted[axis])]
    return None if rows.empty else int(rows["number"].iloc[-1])


def _has(column: pd.Series[Any], choice: object) -> pd.Series[bool]:
    """Return in which rows an axis has a choice; None: the stack does not have that axis."""
    return column.isna() if choice is None else column == choice


def stack_of(frame: pd.DataFrame, number: int) -> dict[str, object]:
    """Return axis → choice of a trial; None on an axis that its stack does not have."""
    (stack,) = _stacks(frame[frame["number"] == number])
    return stack


def _stacks(rows: pd.DataFrame) -> list[dict[str, object]]:
    """Return axis → choice of each row."""
    records = rows[list(AXES)].to_dict("records")
    # NaN is not itself.
    return [{axis: None if row[axis] != row[axis] else row[axis] for axis in AXES} for row in records]
