"""Stacks with and without a tuning budget → the share of the untuned latency that tuned ones take."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from explorer.results.figures.tuning import tuning as draw
from explorer.results.study_report import estimates, words
from explorer.results.study_report.answer import Answer, Question, lacking, said
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.pairs import TUNING, pairs

if TYPE_CHECKING:
    import pandas as pd

RATIO = ("times_untuned", "times_untuned_low", "times_untuned_high")
PAIRED, CONFIRMED = "untuned stacks", "confirmation"
NOTE = (
    "Against untuned stacks: the latency of a tuned stack over that of the one that equals it but for the budget. By "
    "confirmation: the tuned library against the rules' one, compared within the trial, of stacks where a layer became "
    "faster. Geometric means with Student's 95 % interval."
)


def answer(evidence: Evidence) -> Answer:
    """Return what each tuning budget is worth on each device."""
    rows = table(evidence)
    if rows.empty:
        return lacking({"tuning_trials": (0, 64)}, "what tuning is worth takes tuned stacks beside untuned ones")
    sentences = [_sentence(row) for row in words.rows(rows)]
    paired = rows[rows["against"] == PAIRED]
    stacks = int((paired if len(paired) else rows)["pairs"].sum())
    return Answer(said(sentences), rows, stacks, partial(draw, rows), NOTE)


def table(evidence: Evidence) -> pd.DataFrame:
    """Return a row for each device, budget, tuner and what the tuned stacks are compared with."""
    import pandas as pd

    rows, by = evidence.complete, ["device", *TUNING]
    tuned = (rows["tuning_trials"] > 0) | (rows["tuning_seconds"] > 0)
    found = pairs(rows, evidence.codes, TUNING, tuned, ~tuned)
    measured, confirmed = (
        ("ratio_of_times", "ratio_low", "ratio_high"),
        ("tuned_ratio", "tuned_ratio_low", "tuned_ratio_high"),
    )
    with_confirmation = rows[tuned & (rows["tuned_ratio"] > 0)]
    parts = [
        estimates.means(pairs_, by, *columns, log=True)
        .rename(columns=dict(zip(columns, RATIO, strict=True)))
        .assign(against=against)
        for pairs_, columns, against in ((found, measured, PAIRED), (with_confirmation, confirmed, CONFIRMED))
        if len(pairs_)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*by, "pairs", *RATIO, "against"])


def budget(row: words.Row) -> str:
    """Return a row's tuning budget in words."""
    trials, seconds, tuner = (row[name] for name in TUNING)
    amounts = [f"{trials:g} candidates"] * (trials > 0) + [f"{seconds:g} s"] * (seconds > 0)
    return " and ".join(amounts) + (f" of {tuner}" if isinstance(tuner, str) else "")


def _sentence(row: words.Row) -> str:
    found = words.interval(row, *RATIO)
    where, count = row["device"], int(row["pairs"])
    unsure = ", which cannot be told apart from nothing gained" if found.low <= 1 <= found.high else ""
    if row["against"] == PAIRED:
        told = f"of the untuned latency, over {words.counted(count, 'pair')}"
    else:
        told = f"of the rules' time when confirmed, over {words.counted(count, 'stack')} with a faster layer"
    return f"On {where}, {budget(row)} take {words.ratio(found)} {told}{unsure}."


QUESTION = Question("tuning", "How much is tuning worth?", answer)
