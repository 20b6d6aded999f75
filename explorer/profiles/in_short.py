"""Trials on record and one of them → in one sentence how its latency compares with its base's, and what tells why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.core.errors import ExplorerError
from explorer.core.quantities import LATENCY
from explorer.core.statistics import Interval, ratio_interval
from explorer.profiles.neighbours import base_of
from explorer.profiles.versus import WIDTHS

if TYPE_CHECKING:
    import pandas as pd

WORK = (
    "macs",
    "weights",
    "nonzeros",
    "dtype",
)  # columns of a record that say what its latency is expected to grow with


def in_short(frame: pd.DataFrame, number: int) -> str:
    """Return the sentence; empty where the trial has no latency, no compression, or no base on record.

    Parameters
    ----------
    frame
        One row per finished trial of the study.
    """
    rows = {int(row["number"]): row for row in frame.to_dict("records")}
    if rows[number]["state"] != "complete":
        return ""
    try:
        base = base_of(frame, number)
    except ExplorerError:
        return ""
    own = rows[number]
    if any(own.get(column) is None for column in WORK):
        return ""
    achieved = ratio_interval(_latency(own), _latency(rows[base]))
    expected = _work(own) / _work(rows[base])
    share = f"{achieved.value:.2f} ({achieved.low:.2f} to {achieved.high:.2f})"
    said = f"it takes {share} of the time of trial {base}, the same stack uncompressed"
    if achieved.low <= expected:
        return f"{said}, and its work lets expect {expected:.2f}"
    return f"{said}, where its work lets expect {expected:.2f}: 'dlas profile {number} --vs base' says why"


def _latency(row: Mapping[Any, Any]) -> Interval:
    return LATENCY.interval(row)


def _work(row: Mapping[Any, Any]) -> float:
    """Return multiply-accumulates without those of zeros, times the width of the numbers."""
    density = row["nonzeros"] / row["weights"] if row["weights"] else 1.0
    return float(row["macs"] * density * WIDTHS.get(row["dtype"], 1.0))
