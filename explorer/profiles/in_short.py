"""Trials on record and one of them → in one sentence how its latency compares with its base's, and what tells why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.core.measurement.quantities import LATENCY
from explorer.core.measurement.statistics import ratio_interval
from explorer.profiles.neighbours import UNCOMPRESSED, neighbour
from explorer.profiles.versus import WIDTHS

if TYPE_CHECKING:
    import pandas as pd

# Columns of a record that say what its latency is expected to grow with.
WORK = ("macs", "weights", "nonzeros", "dtype")


def in_short(frame: pd.DataFrame, number: int) -> str:
    """Return the sentence; empty where the trial has no latency, no compression, or no base on record.

    Parameters
    ----------
    frame
        One row per finished trial of the study.
    """
    own = _row(frame, number)
    if own["state"] != "complete":
        return ""
    number_of_base = neighbour(frame, number, UNCOMPRESSED)
    if own["compression"] == "none" or number_of_base is None:
        return ""
    base = _row(frame, number_of_base)
    if any(_is_gap(row.get(column)) for row in (own, base) for column in WORK):
        return ""
    achieved = ratio_interval(LATENCY.interval(own), LATENCY.interval(base))
    expected = _work(own) / _work(base)
    share = f"{achieved.value:.2f} ({achieved.low:.2f} to {achieved.high:.2f})"
    said = f"it takes {share} of the time of trial {number_of_base}, the same stack uncompressed"
    if achieved.low <= expected:
        return f"{said}; expected from its work: {expected:.2f}"
    return f"{said}, not the {expected:.2f} expected from its work: 'dlas profile {number} --vs base' says why"


def _row(frame: pd.DataFrame, number: int) -> Mapping[Any, Any]:
    (row,) = frame[frame["number"] == number].to_dict("records")
    return row


def _is_gap(value: object) -> bool:
    return value is None or value != value  # NaN is not itself


def _work(row: Mapping[Any, Any]) -> float:
    """Return multiply-accumulates without those of zeros, times the width of the numbers."""
    density = row["nonzeros"] / row["weights"] if row["weights"] else 1.0
    return float(row["macs"] * density * WIDTHS.get(row["dtype"], 1.0))
