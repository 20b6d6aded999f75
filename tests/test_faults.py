"""The generator of faults gives every kind its share; a study survives some of each stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.faults import Bench, Fault, Outcome, drawn, kinds, rows_of

NIGHTLY = 40


def test_faults_are_drawn_by_a_seed_and_each_kind_as_often_as_any_other() -> None:
    every = list(kinds())
    first, again, other = drawn(2 * len(every), 0), drawn(2 * len(every), 0), drawn(len(every), 1)
    assert first == again
    assert first[: len(every)] != other

    def place(fault: Fault) -> tuple[str, str, str, str]:
        return fault.stage, fault.process, fault.kind, fault.engine

    assert sorted(map(place, first)) == sorted(map(place, every * 2))
    assert all(fault.delay >= 0 for fault in first)


def test_a_row_counts_what_was_hit() -> None:
    fault = Fault("train", "main", "killed")
    outcomes = [Outcome(fault, True), Outcome(fault, True, lost=2, runs=3), Outcome(fault, False, lost=1)]
    (row,) = rows_of(outcomes)
    assert (row["tried"], row["missed"], row["survived"], row["lost"], row["runs"]) == (2, 1, 1, 2, 3)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_a_study_survives_faults(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcomes = [bench.struck(fault) for fault in drawn(NIGHTLY, 0)]
    assert [each for each in outcomes if not each.survived] == []
    assert sum(each.hit for each in outcomes) > NIGHTLY / 2
