"""A study's complete trials on a device, and the brush → the axes that one may brush by, and which trials are in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from explorer.core.configuration import AXES
from explorer.core.measurement.metric import Metric

if TYPE_CHECKING:
    import pandas as pd

QUANTITIES = ("latency_ms", "size_bytes", "peak_memory_bytes")  # that one may brush by, beside the axes and the metric
MOST_CHOICES = 12  # of an axis that has a box each; an axis of more numbers has two ends
GAP = "-"  # stands for a choice on an axis that a stack does not have


class Part(TypedDict, total=False):
    """The brush on one axis: choices that are in it, or the ends of a range; either may be open."""

    choices: list[str]
    least: float
    most: float


Brush = Mapping[str, Part]  # axis or quantity → its part; without one it is not brushed by


@dataclass(frozen=True)
class Axis:
    """One axis or quantity to brush by.

    Parameters
    ----------
    choices
        The texts of its choices, in their order; empty for one that has ends.
    least, most
        The lowest and the highest value of one that has ends.
    """

    name: str
    choices: Sequence[str] = ()
    least: float = 0.0
    most: float = 0.0


def axes(measured: pd.DataFrame) -> list[Axis]:
    """Return what the trials `measured` differ in: axes in the stack's order, then quantities."""
    if measured.empty:
        return []
    found = []
    quantities = (Metric.of_frame(measured).name, *QUANTITIES)
    for name in (*AXES, *quantities):
        if name == "device" or name not in measured.columns:
            continue
        values = measured[name].dropna().unique()
        gaps = bool(measured[name].isna().any())
        if len(values) + gaps < 2:
            continue
        numbers = all(isinstance(value, int | float) or hasattr(value, "dtype") for value in values)
        if numbers and (name in quantities or len(values) > MOST_CHOICES):
            found.append(Axis(name, (), float(min(values)), float(max(values))))
        else:
            ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
            found.append(Axis(name, [*([GAP] if gaps else []), *map(text, ordered)]))
    return found


def inside(measured: pd.DataFrame, brush: Brush) -> pd.Series[bool]:
    """Tell of every trial whether it is in the brush, which has parts for axes that `measured` may lack."""
    import pandas as pd

    kept = pd.Series(True, index=measured.index)
    for name, part in brush.items():
        if name not in measured.columns:
            continue
        if chosen := part.get("choices"):
            kept &= measured[name].map(text, na_action=None).isin(chosen)
        for end, comparison in (("least", "ge"), ("most", "le")):
            if (bound := part.get(end)) is not None:
                kept &= getattr(measured[name], comparison)(bound)
    return kept


def text(value: Any) -> str:
    """Return a choice as text: whole numbers without a point, a gap as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return GAP
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(brush: Brush) -> str:
    """Return the brush in words: ``"algorithm gemm or direct, latency_ms at most 2"``; "" where nothing is brushed."""
    said = []
    for name, part in brush.items():
        if chosen := part.get("choices"):
            said.append(f"{name} {' or '.join(chosen)}")
        ends = [f"at {end} {part[end]:g}" for end in ("least", "most") if part.get(end) is not None]
        if ends:
            said.append(f"{name} {' and '.join(ends)}")
    return ", ".join(said)
