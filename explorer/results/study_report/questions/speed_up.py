"""Stacks with and without a compression → the speed-up that it brings, the one to expect, and the accuracy it costs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from explorer.core.measurement.metric import Metric
from explorer.core.measurement.statistics import Interval
from explorer.results.figures.speed_up import speed_up as draw
from explorer.results.study_report import estimates, words
from explorer.results.study_report.answer import Answer, Question, lacking, said
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.pairs import REMOVING, pairs

if TYPE_CHECKING:
    import pandas as pd

COMPRESSED = ["compression", "ratio", "format"]
EXPECTED = ("expected_from_macs", "expected_from_bytes")
NETWORK = ["dataset", "model", "width", *REMOVING, "format"]  # what an accuracy depends on
NOTE = (
    "A pair is a stack and the one that equals it but for the compression, dense. Expected from MACs: theirs over the "
    "compressed network's, in csr those of weights that are not zero; from bytes: those of the weights as stored. "
    "Speed-ups are geometric means with Student's 95 % interval over the pairs; the accuracy lost is a mean over "
    "networks."
)


def answer(evidence: Evidence) -> Answer:
    """Return what each compression brings on each device, beside what MACs and bytes promise."""
    rows = table(evidence)
    if rows.empty:
        return lacking(
            {"compression": ("none", "channel_pruning", "weight_pruning", "int8"), "ratio": (0.5, 0.75)},
            "a speed-up takes a stack and the same one without the compression",
        )
    sentences = [part for _, group in rows.groupby("device", sort=False) for part in _sentences(group, evidence.metric)]
    return Answer(said(sentences), rows, int(rows["pairs"].sum()), partial(draw, rows), NOTE)


def table(evidence: Evidence) -> pd.DataFrame:
    """Return a row for each device and compression, with what it brings, what to expect and what it costs."""
    import numpy as np

    found = compared(evidence)
    by = ["device", *COMPRESSED]
    rows = estimates.means(found, by, "speed_up", "speed_up_low", "speed_up_high", log=True)
    if rows.empty:
        return rows
    logs = found.assign(**{name: np.log(found[name].to_numpy(dtype=float)) for name in EXPECTED})
    expected = logs.groupby(by, dropna=False)[list(EXPECTED)].mean().apply(np.exp).reset_index()
    rows = rows.merge(expected, on=by, how="left")
    # One network has one accuracy, however many kernels run it.
    lost = ("accuracy_lost", "lost_low", "lost_high")
    networks = found.groupby(["device", *NETWORK], dropna=False)[list(lost)].mean().reset_index()
    costs = estimates.means(networks, by, *lost).rename(columns={"pairs": "networks"})
    return rows.merge(costs, on=by, how="left")


def compared(evidence: Evidence) -> pd.DataFrame:
    """Return the pairs of a compressed stack and the same one without, with the speed-ups achieved and expected."""
    rows = evidence.complete
    plain = (rows["compression"] == "none") & (rows["format"] == "dense")
    found = pairs(rows, evidence.codes, (*REMOVING, "format"), rows["compression"] != "none", plain)
    left = (found["nonzeros"] / found["weights"]).where(found["format"] == "csr", 1.0)
    macs, bytes_ = (found[name].astype(float) for name in ("macs", "weight_bytes"))
    return found.assign(
        speed_up=1 / found["ratio_of_times"],
        speed_up_low=1 / found["ratio_high"],
        speed_up_high=1 / found["ratio_low"],
        expected_from_macs=found["base_macs"].astype(float) / (macs * left.astype(float)),
        expected_from_bytes=found["base_weight_bytes"].astype(float) / bytes_,
    )


def _sentences(group: pd.DataFrame, metric: Metric) -> list[str]:
    """Return what the fastest compression brings on a device, and which one falls the furthest short of its MACs."""
    best = words.largest(group, group["speed_up"].to_numpy(dtype=float))
    found = [_brings(best, metric)]
    kept = (group["speed_up"] / group["expected_from_macs"]).to_numpy(dtype=float)  # of what MACs promise
    if (kept < 1).any():
        worst = words.largest(group, -kept)
        promised, achieved = worst["expected_from_macs"], words.interval(worst, *_SPEED_UP)
        short_for_sure = "falls the furthest short" if achieved.high < promised else "may fall the furthest short"
        found.append(
            f"On {worst['device']}, {_name(worst)} {short_for_sure} of its MACs: they promise a speed-up of "
            f"{promised:.2f}, and it reaches {words.ratio(achieved)}."
        )
    return found


_SPEED_UP = ("speed_up", "speed_up_low", "speed_up_high")


def _brings(row: words.Row, metric: Metric) -> str:
    achieved = words.interval(row, *_SPEED_UP)
    lost = words.interval(row, "accuracy_lost", "lost_low", "lost_high")
    unsure = ", which cannot be told apart from none," if achieved.low <= 1 <= achieved.high else ""
    gained = Interval(-lost.value, -lost.high, -lost.low)
    costs = f"costs {words.points(lost, metric)}" if lost.value >= 0 else f"gains {words.points(gained, metric)}"
    costs += f" of {metric.name}"
    if lost.low <= 0 <= lost.high:
        costs += ", which cannot be told apart from none"
    pairs_ = words.counted(int(row["pairs"]), "pair")
    return (
        f"On {row['device']}, {_name(row)} brings the largest speed-up, {words.ratio(achieved)} over {pairs_}{unsure} "
        f"and {costs}."
    )


def _name(row: words.Row) -> str:
    return words.compression(row) + (" in csr" if row["format"] == "csr" else "")


QUESTION = Question(
    "speed_up", "How much faster does each compression make a stack, against its promise, and at which cost?", answer
)
