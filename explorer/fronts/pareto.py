"""Finished trials → which of them keep the limits, and which no other such trial on the same device dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from explorer.core.measurement.quantities import Quantity
from explorer.space.limits import Limit, violation
from explorer.space.toml.space_file import Direction

if TYPE_CHECKING:
    import pandas as pd


def on_front(frame: pd.DataFrame, objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()) -> pd.Series[bool]:
    """Tell for every row of `frame` whether it lies on the Pareto front of its device.

    Failed trials, rows that lack an objective and rows that break a limit do not; equal rows all do.

    Parameters
    ----------
    frame
        One row per trial, with the columns ``state``, ``device``, every objective and every limited quantity.
    objectives
        Column → ``"maximize"`` or ``"minimize"``.
    """
    import moocore
    import pandas as pd

    mask = pd.Series(False, index=frame.index, dtype=bool)
    usable = frame[comparable(frame, objectives, limits)]
    if usable.empty:
        return mask
    usable = usable[violations(usable, limits) == 0]
    maximise = [direction == "maximize" for direction in objectives.values()]
    for _, rows in usable.groupby("device"):
        points = rows[list(objectives)].to_numpy(dtype=float)
        mask.loc[rows.index] = moocore.is_nondominated(points, maximise=maximise, keep_weakly=True)
    return mask


def comparable(
    frame: pd.DataFrame, objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()
) -> pd.Series[bool]:
    """Tell of every row whether it is a complete trial with all objectives and all limited quantities on record."""
    import pandas as pd

    columns = [*objectives, *(limit.quantity for limit in limits)]
    if frame.empty or not set(columns) <= set(frame.columns):  # no trial is complete yet
        return pd.Series(False, index=frame.index, dtype=bool)
    return (frame["state"] == "complete") & frame[columns].notna().all(axis=1)


def front(frame: pd.DataFrame, objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()) -> pd.DataFrame:
    """Return the rows on the front of their device, by device and then by objective, the best first."""
    rows = frame[on_front(frame, objectives, limits)]
    if rows.empty:
        return rows
    ascending = [True, *(direction == "minimize" for direction in objectives.values())]
    return rows.sort_values(["device", *objectives], ascending=ascending, kind="stable")


def nearest(frame: pd.DataFrame, limits: Sequence[Limit]) -> pd.DataFrame:
    """Return, for each device on which every complete trial breaks a limit, the one that breaks them least."""
    complete = frame[frame["state"] == "complete"] if len(frame) else frame
    if complete.empty or not limits:
        return complete.iloc[:0]
    broken = violations(complete, limits)
    least = broken.loc[broken.groupby(complete["device"]).idxmin()]
    return complete.loc[least[least > 0].index]


def violations(complete: pd.DataFrame, limits: Sequence[Limit]) -> pd.Series[float]:
    """Return by how much each row of `complete`, all complete trials, breaks `limits` in all."""
    import numpy as np
    import pandas as pd

    if not limits:
        return pd.Series(0.0, index=complete.index)
    limited = {limit.quantity for limit in limits}
    columns = [name for name in complete.columns if Quantity.parse(str(name)).name in limited]
    rows = complete[["device", *columns]].to_dict("records")
    broken = [violation(limits, row["device"], {str(name): value for name, value in row.items()}) for row in rows]
    return pd.Series(np.array(broken), index=complete.index)
