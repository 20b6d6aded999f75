"""The same stacks in csr and dense → the share of removed weights from which the sparse kernels are faster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from explorer.results.figures.sparsity import sparsity as draw
from explorer.results.study_report import estimates, words
from explorer.results.study_report.answer import Answer, Question, lacking, said
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.pairs import pairs

if TYPE_CHECKING:
    import pandas as pd

RATIO = ("times_dense", "times_dense_low", "times_dense_high")
NOTE = (
    "A pair is a stack in csr and the one that equals it but for the format. The time is that in csr over the dense "
    "one's, a geometric mean with Student's 95 % interval over the pairs. Csr overtakes at the least ratio from which "
    "on every interval lies below 1."
)


def answer(evidence: Evidence) -> Answer:
    """Return from which ratio on csr overtakes dense, for each device and algorithm."""
    rows = table(evidence)
    if rows.empty:
        return lacking(
            {"compression": ("weight_pruning",), "ratio": (0.5, 0.8, 0.9, 0.95), "format": ("dense", "csr")},
            "a crossing takes pruned stacks in both formats",
        )
    sentences = [_sentence(str(device), group) for device, group in rows.groupby("device", sort=False)]
    return Answer(said(sentences), rows, int(rows["pairs"].sum()), partial(draw, rows), NOTE)


def table(evidence: Evidence) -> pd.DataFrame:
    """Return a row for each device, algorithm and ratio: the time in csr over that of the dense stack."""
    rows = evidence.complete
    found = pairs(rows, evidence.codes, ("format",), rows["format"] == "csr", rows["format"] == "dense")
    measured = ("ratio_of_times", "ratio_low", "ratio_high")
    ratios = estimates.means(found, ["device", "algorithm", "ratio"], *measured, log=True)
    return ratios.rename(columns=dict(zip(measured, RATIO, strict=True)))


def crossing(rows: pd.DataFrame) -> tuple[float | None, float | None]:
    """Return the greatest ratio at which csr is not sure to be faster, and the least from which on it is.

    Parameters
    ----------
    rows
        Of one device and algorithm.

    Returns
    -------
    tuple
        None for the first where csr is faster at every ratio, for the second where it is not at the greatest.
    """
    ordered = rows.sort_values("ratio")
    slower = ordered[ordered[RATIO[2]] >= 1]
    last = None if slower.empty else float(slower["ratio"].iloc[-1])
    faster = ordered if last is None else ordered[ordered["ratio"] > last]
    return last, None if faster.empty else float(faster["ratio"].iloc[0])


def _sentence(device: str, group: pd.DataFrame) -> str:
    found = [_crossing_of(str(name), rows) for name, rows in group.groupby("algorithm", sort=True)]
    return f"On {device}, csr overtakes dense " + "; ".join(found) + "."


def _crossing_of(algorithm: str, rows: pd.DataFrame) -> str:
    last, first = crossing(rows)
    at = words.rows(rows.nlargest(1, "ratio") if first is None else rows[rows["ratio"] == first])[0]
    takes = f"{words.ratio(words.interval(at, *RATIO))} of the dense time at {at['ratio']:g}"
    if first is None:
        unsure = ", which cannot be told apart" if at[RATIO[1]] <= 1 <= at[RATIO[2]] else ""
        return f"with {algorithm} at no ratio up to {at['ratio']:g}: it takes {takes}{unsure}"
    if last is None:
        return f"with {algorithm} at every ratio from {first:g} on: it takes {takes}"
    return f"with {algorithm} between {last:g} and {first:g}: it takes {takes}"


QUESTION = Question("sparsity", "From which sparsity on is sparse faster than dense?", answer)
