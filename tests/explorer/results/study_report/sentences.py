"""A report's answers ↔ the sentences that follow from the records, stack by stack."""

from __future__ import annotations

from explorer.results.study_report.answer import MOST_SAID, Answer
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.questions import (
    algorithms,
    certainty,
    correlations,
    failures,
    sparsity,
    speed_up,
    tuning,
)
from tests.explorer.results.study_report import expected

COMPARING = {
    "correlations": (correlations.answer, expected.correlations),
    "speed_up": (speed_up.answer, expected.speed_up),
    "sparsity": (sparsity.answer, expected.sparsity),
    "algorithms": (algorithms.answer, expected.algorithms),
    "tuning": (tuning.answer, expected.tuning),
}


def alike(answer: Answer, sentences: list[str]) -> None:
    """Compare an answer with the sentences expected; where there are none, too little is on record."""
    assert (answer.needs is None) == bool(sentences)
    if sentences:
        assert list(answer.sentences[:MOST_SAID]) == sentences[:MOST_SAID]


def check(studied: Evidence) -> None:
    """Check all sentences on a study but those of the analysis of variance and of the comparison of devices."""
    rows = expected.rows_of(studied.frame)
    for ask, sentences in COMPARING.values():
        alike(ask(studied), sentences(rows))
    alike(certainty.answer(studied), expected.front(rows, studied.fronts))
    alike(
        failures.answer(studied),
        expected.failures([{str(n): v for n, v in row.items()} for row in studied.frame.to_dict("records")], rows),
    )
