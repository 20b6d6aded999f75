"""Finished trials → which of them are the same stack, on whatever device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.core.configuration import AXES

if TYPE_CHECKING:
    import pandas as pd

OTHER_AXES = tuple(axis for axis in AXES if axis != "device")


def stack_ids(frame: pd.DataFrame) -> pd.Series[int]:
    """Return a number for every row of `frame`: equal exactly for stacks that are equal in every axis but ``device``.

    An axis counts by the name of its choice, so stacks with the channel multiple ``"vector"`` are equal on devices
    whose vectors differ.
    """
    axes = [axis for axis in OTHER_AXES if axis in frame]
    # Without filling, a gap that is None and one that is NaN would differ in a column of mixed types.
    filled = frame[axes].astype(object).where(frame[axes].notna(), "")
    return filled.groupby(axes, sort=False).ngroup()


def one_each(frame: pd.DataFrame, preferred: pd.Series[bool]) -> pd.DataFrame:
    """Return one row for each stack and device, with the column ``stack``, the number of `stack_ids`.

    Of several trials of a stack on a device, a complete one counts, and among these a `preferred` one, then the last.
    """
    ranked = frame.assign(
        stack=stack_ids(frame), complete=frame["state"] == "complete", preferred=preferred.reindex(frame.index)
    )
    ranked = ranked.sort_values(["complete", "preferred", "number"], kind="stable")
    left = ranked.drop_duplicates(["stack", "device"], keep="last").sort_values("number", kind="stable")
    return left.drop(columns=["complete", "preferred"])
