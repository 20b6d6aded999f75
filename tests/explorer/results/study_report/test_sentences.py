"""Every sentence of a report is what follows from the records, stack by stack."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.explorer.frames import failed, frame_of
from tests.explorer.results.study_report.sentences import COMPARING, check
from tests.explorer.results.study_report.studies import FEWER, drawn, evidence, seeds


@FEWER
@given(seeds)
def test_they_follow_from_the_records(seed: int) -> None:
    check(evidence(drawn(seed)))


@pytest.mark.parametrize("name", COMPARING)
def test_nothing_follows_from_nothing(name: str) -> None:
    ask, _ = COMPARING[name]
    answer = ask(evidence(frame_of(failed(0), failed(1, model="vgg16"))))
    assert answer.needs is not None
    assert answer.sentences[0].startswith("Not enough on record: run ")
    assert answer.stacks == 0
