"""Finished trials → which of them no other trial on the same device dominates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from explorer.space_file import Direction

if TYPE_CHECKING:
    import pandas as pd


def on_front(frame: pd.DataFrame, objectives: Mapping[str, Direction]) -> pd.Series[bool]:
    """Tell for every row of `frame` whether it lies on the Pareto front of its device.

    Failed trials and rows that lack an objective do not; of equal rows all do.

    Parameters
    ----------
    frame
        One row per trial, with the columns ``state``, ``device`` and every objective.
    objectives
        Column → ``"maximize"`` or ``"minimize"``.
    """
    import moocore
    import pandas as pd

    mask = pd.Series(False, index=frame.index, dtype=bool)
    columns = list(objectives)
    if frame.empty or not set(columns) <= set(frame.columns):  # no trial is complete yet
        return mask
    usable = frame[(frame["state"] == "complete") & frame[columns].notna().all(axis=1)]
    maximise = [direction == "maximize" for direction in objectives.values()]
    for _, rows in usable.groupby("device"):
        points = rows[columns].to_numpy(dtype=float)
        mask.loc[rows.index] = moocore.is_nondominated(points, maximise=maximise, keep_weakly=True)
    return mask


def front(frame: pd.DataFrame, objectives: Mapping[str, Direction]) -> pd.DataFrame:
    """Return the rows on the front of their device, by device and then by objective, the best first."""
    rows = frame[on_front(frame, objectives)]
    if rows.empty:
        return rows
    ascending = [True, *(direction == "minimize" for direction in objectives.values())]
    return rows.sort_values(["device", *objectives], ascending=ascending, kind="stable")
