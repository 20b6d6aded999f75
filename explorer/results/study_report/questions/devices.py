"""Stacks measured on several devices → where the best ones of one device lose on another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from explorer.core.configuration import AXES
from explorer.core.measurement.metric import DIRECTION, NAME, Metric
from explorer.core.measurement.quantities import Quantity
from explorer.core.measurement.sessions import DISTURBED, EMULATED
from explorer.results.across_devices.comparison import BEYOND, OFF, ON, TIED, compare
from explorer.results.study_report import words
from explorer.results.study_report.answer import Answer, Question, lacking, said
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.sampled import across_devices as draw

if TYPE_CHECKING:
    import pandas as pd

FACTOR = ("worst_factor", "worst_factor_low", "worst_factor_high")
COLUMNS = ["front_of", "on", "stacks", "measured", "on_front", "tied", "lose", "worst_trial", *FACTOR]
NOTE = (
    "Of each device's front, the stacks that were measured on the other device, too. One loses there where it is off "
    "that front and all of its factor's interval lies above 1: its latency over that of the fastest stack there that "
    "is at least as accurate."
)


def answer(evidence: Evidence) -> Answer:
    """Return, for each pair of devices, how the front of one fares on the other."""
    first = "dlas devices --add NAME --tracker HOST:PORT for a second device"
    if len(evidence.devices) < 2:
        return lacking({}, "the study's stacks were measured on one device", first)
    rows = table(evidence)
    if not rows["measured"].sum():
        return lacking(
            {}, "no stack on a front was measured on another device, too; dlas grid measures each on all", "a grid"
        )
    sentences = [_sentence(row, evidence.metric) for row in words.rows(rows) if row["measured"]]
    figure = partial(draw, evidence.complete, evidence.name, evidence.limits)
    return Answer(said(sentences), rows, int(rows["measured"].sum()), figure, NOTE)


def table(evidence: Evidence) -> pd.DataFrame:
    """Return a row for each front and other device."""
    import pandas as pd

    limited = {limit.quantity for limit in evidence.limits}
    named = {
        "number",
        "state",
        *AXES,
        DISTURBED,
        EMULATED,
        "size_bytes",
        *(evidence.metric.name, NAME, DIRECTION),
        "latency_low_ms",
        "latency_high_ms",
    }
    frame = evidence.frame
    wanted = [
        name for name in frame.columns if name in named or Quantity.parse(str(name)).name in {"latency_ms", *limited}
    ]  # the comparison takes each row apart, and a study may have a hundred thousand
    compared = compare(frame[wanted], evidence.fronts, evidence.limits).rows
    other = compared[compared["device"] != compared["front_of"]]
    found = [
        (home, there, len(group), *_counts(group)) for (home, there), group in other.groupby(["front_of", "device"])
    ]
    return pd.DataFrame(found, columns=COLUMNS)


def _counts(group: pd.DataFrame) -> tuple[object, ...]:
    measured = group[group["state"] == "complete"]
    standing = measured["standing"]
    lose = measured[standing.isin([OFF, BEYOND]) & (measured["factor_low"] > 1)]
    counts = (len(measured), int((standing == ON).sum()), int((standing == TIED).sum()), len(lose))
    if measured.empty:
        return (*counts, None, None, None, None)
    worst = words.largest(measured, measured["factor"].to_numpy(dtype=float))
    return (*counts, int(worst["number"]), worst["factor"], worst["factor_low"], worst["factor_high"])


def _sentence(row: words.Row, metric: Metric) -> str:
    measured, lose, tied = (int(row[name]) for name in ("measured", "lose", "tied"))
    verb = "loses" if lose == 1 else "lose"
    text = f"Of {words.counted(measured, 'stack')} on the front of {row['front_of']}, {lose:,} {verb} on {row['on']}"
    text += f" and {tied:,} cannot be told apart from its front" if tied else ""
    factor = words.interval(row, *FACTOR)
    if factor.value > 1:
        unsure = ", which cannot be told apart" if factor.low <= 1 else ""
        text += (
            f"; the worst, trial {row['worst_trial']:g}, takes {words.ratio(factor)} times as long there as the "
            f"fastest stack of its {metric.name}{unsure}"
        )
    return text + "."


QUESTION = Question("across_devices", "Where does the winner of one device lose on another?", answer)
