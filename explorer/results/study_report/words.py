"""Estimates and names → the way the sentences of a report write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from explorer.core.measurement.metric import ACCURACY, Metric
from explorer.core.measurement.statistics import Interval

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Row = Mapping[Any, Any]  # column → value


def rows(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame."""
    return [dict(row) for row in frame.to_dict("records")]


DIGITS = 9  # after the point, of numbers that are compared: the last ones depend on the order of sums


def largest(frame: pd.DataFrame, values: NDArray[np.float64]) -> Row:
    """Return the row of `frame` whose value is the largest, the first of those that rounding alone tells apart.

    A gap is no value.
    """
    import numpy as np

    return rows(frame.iloc[[int(np.nanargmax(np.round(values, DIGITS)))]])[0]


def ratio(interval: Interval) -> str:
    """Return a ratio with its interval: ``"1.83 (1.60 to 2.10)"``."""
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def points(interval: Interval, metric: Metric = ACCURACY) -> str:
    """Return a difference of two accuracies with its interval in points, ``"1.2 points (0.4 to 2.0)"``.

    That of another metric is in its unit.
    """
    if not metric.is_accuracy:
        return f"{interval.value:.4g} ({interval.low:.4g} to {interval.high:.4g})"
    value, low, high = (100 * end + 0.0 for end in interval)
    return f"{value:.1f} points ({low:.1f} to {high:.1f})"


def percent(share: float) -> str:
    """Return a share without decimals: ``"62 %"``; one that is not nothing as ``"under 1 %"``."""
    return "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """Return ``"1 stack"`` or ``"12 stacks"``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(items: Sequence[str]) -> str:
    """Return ``"a, b and c"``."""
    return " and ".join(part for part in (", ".join(items[:-1]), *items[-1:]) if part)


def interval(row: Row, value: str, low: str, high: str) -> Interval:
    """Return the estimate that three columns of a row hold."""
    return Interval(float(row[value]), float(row[low]), float(row[high]))


def share_of(part: int, whole: int) -> str:
    """Return ``"3 of 40 (8 %)"``."""
    return f"{part:,} of {whole:,}" + (f" ({percent(part / whole)})" if whole else "")


def compression(row: Row) -> str:
    """Return what a stack's network lost: ``"channel_pruning 0.5"``."""
    ratio = "" if row["ratio"] != row["ratio"] or row["ratio"] is None else f" {row['ratio']:g}"
    return f"{row['compression']}{ratio}"
