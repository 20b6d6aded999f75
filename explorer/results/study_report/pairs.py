"""Finished trials → pairs of stacks that are equal in every axis but some, and what one takes over the other.

All of it works on whole columns: a study may have a hundred thousand stacks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from explorer.core.configuration import AXES
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY, Quantity

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

REMOVING = ("compression", "ratio", "channel_multiple", "max_drop")  # the axes that say what a stack's network has lost
TUNING = ("tuning_trials", "tuning_seconds", "tuner")


def axis_codes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a column for each axis with a number for each choice: equal exactly for equal choices, -1 for a gap."""
    import pandas as pd

    codes = {}
    for axis in AXES:
        values = frame[axis]
        mixed = values.dtype == object and any(isinstance(value, str) for value in values.unique())
        codes[axis] = pd.factorize(values.astype("string") if mixed else values)[0]
    return pd.DataFrame(codes, index=frame.index)


def alike(codes: pd.DataFrame, but: Collection[str]) -> pd.Series[int]:
    """Return a number for every row: equal exactly for stacks that are equal in every axis but those in `but`."""
    varying = [axis for axis in codes.columns if axis not in but and codes[axis].nunique() > 1]
    if not varying or codes.empty:
        return codes.iloc[:, 0] * 0
    return codes.groupby(varying, sort=False).ngroup()


def pairs(
    rows: pd.DataFrame, codes: pd.DataFrame, but: Collection[str], of: pd.Series[bool], over: pd.Series[bool]
) -> pd.DataFrame:
    """Return a row for each stack in `of` that has a counterpart in `over`, equal in every axis but those in `but`.

    Parameters
    ----------
    rows
        Complete trials, one for each stack.
    codes
        Their choices; see `axis_codes`.
    of, over
        Which of the rows are compared, and which they are compared with. Of several counterparts the last one counts.

    Returns
    -------
    pd.DataFrame
        The rows of `of` with a counterpart, with that one's values as ``base_accuracy`` and so on, and with

        - ``ratio_of_times``, ``ratio_low``, ``ratio_high``: the stack's latency over its counterpart's, with the 95 %
          interval that follows from those of both
        - ``accuracy_lost``, ``lost_low``, ``lost_high``: by how much the stack is less accurate, or its metric worse,
          than the counterpart's, likewise
    """
    key = alike(codes, but)
    keyed = rows.assign(alike=key)
    base = keyed[over].drop_duplicates("alike", keep="last").set_index("alike").add_prefix("base_")
    found = keyed[of & key.isin(base.index)].join(base, on="alike")
    return found.assign(**_ratio(found), **_lost(found))


def ends(rows: pd.DataFrame, quantity: Quantity, prefix: str = "") -> tuple[Floats, Floats, Floats]:
    """Return a quantity's values and the ends of their intervals; where there is none, the value itself."""
    import numpy as np

    value, low, high = (rows[prefix + column].to_numpy(dtype=float) for column in quantity.columns)
    return value, np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high)


def _ratio(rows: pd.DataFrame) -> dict[str, Floats]:
    """Return the ratio of two latencies with its interval, as `statistics.ratio_interval` does for one."""
    import numpy as np

    value, low, high = map(np.log, ends(rows, LATENCY))
    base, base_low, base_high = map(np.log, ends(rows, LATENCY, "base_"))
    ratio = value - base
    below, above = np.hypot(value - low, base_high - base), np.hypot(high - value, base - base_low)
    return {
        "ratio_of_times": np.exp(ratio), "ratio_low": np.exp(ratio - below), "ratio_high": np.exp(ratio + above)
    }  # fmt: skip


def _lost(rows: pd.DataFrame) -> dict[str, Floats]:
    """Return by how much the metric is worse with its interval, each end by the root of two squared distances."""
    import numpy as np

    metric = Metric.of_frame(rows)
    value, low, high = ends(rows, metric.quantity)
    base, base_low, base_high = ends(rows, metric.quantity, "base_")
    lost = metric.sign * (base - value)
    below, above = np.hypot(base - base_low, high - value), np.hypot(base_high - base, value - low)
    if not metric.maximised:
        below, above = above, below
    return {"accuracy_lost": lost, "lost_low": lost - below, "lost_high": lost + above}
