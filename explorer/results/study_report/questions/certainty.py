"""The fronts and their probabilities → how certain each device's front is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from explorer.results import readable
from explorer.results.study_report import words
from explorer.results.study_report.answer import Answer, Question, lacking, said
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.sampled import front as draw

if TYPE_CHECKING:
    import pandas as pd

SURE = 0.95
COLUMNS = ["device", "measured", "on_front", "sure", "ties", "least_sure_trial", "least_probability"]
NOTE = (
    "In all of the study's objectives. A probability is the share of draws, each latency within its interval, in which "
    "no other stack dominates this one. The figure has accuracy and latency alone."
)


def answer(evidence: Evidence) -> Answer:
    """Return how sure the stacks on each device's front are, and how many tie with it."""
    rows = table(evidence)
    if rows.empty:
        return lacking({"algorithm": ("direct", "gemm")}, "no stack was measured that keeps the limits")
    sentences = [_sentence(row) for row in words.rows(rows)]
    figure = partial(draw, evidence.complete, evidence.name, evidence.limits)
    return Answer(said(sentences), rows, int(rows["measured"].sum()), figure, evidence.about_its_metric(NOTE))


def table(evidence: Evidence) -> pd.DataFrame:
    """Return a row for each device with a front."""
    import pandas as pd

    rows = []
    measured = evidence.complete["device"].value_counts()
    for device, group in evidence.fronts.groupby("device") if len(evidence.fronts) else ():
        best = group[~group["tied"]]
        least = words.largest(best, -best["front_probability"].to_numpy(dtype=float))
        sure = int((best["front_probability"] >= SURE).sum())
        counts = (int(measured.get(device, 0)), len(best), sure, len(group) - len(best))
        rows.append((device, *counts, int(least["number"]), float(least["front_probability"])))
    return pd.DataFrame(rows, columns=COLUMNS)


def _sentence(row: words.Row) -> str:
    front, ties, sure = (int(row[name]) for name in ("on_front", "ties", "sure"))
    tied = f"; {words.counted(ties, 'more stack')} cannot be told apart from it" if ties else ""
    least = readable.probability(row["least_probability"])
    doubt = f"; the least sure is trial {row['least_sure_trial']} with {least}" if sure < front else ""
    return (
        f"On {row['device']}, {words.counted(front, 'stack')} of {row['measured']:,} measured are on the front, "
        f"{sure:,} of them with a probability of at least 95 %{tied}{doubt}."
    )


QUESTION = Question("front", "How certain is the front?", answer)
