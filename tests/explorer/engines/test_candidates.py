"""Candidates that are on record for one selection are known to every other that would measure the same."""

from __future__ import annotations

from pathlib import Path

from explorer.engines import candidates
from explorer.workspace.database.records import Records
from tests.typed_stages import selection


def test_a_problem_is_known_once_all_its_candidates_are_on_record(tmp_path: Path) -> None:
    records, stage = Records(f"sqlite:///{tmp_path}/study.db"), selection("auto")
    building = candidates.missing(stage, "local", records)
    assert building
    assert building.parameters.problems == [{"layer": "a"}, {"layer": "b"}]
    candidates.record(stage, "local", records, [{"direct": [2.0]}, {"direct": [4.0]}], {})
    assert candidates.known(stage, "local", records) == [{}, {"direct": 4.0}]
    building = candidates.missing(stage, "local", records)
    assert building
    assert building.parameters.problems == [{"layer": "a"}]
    candidates.record(stage, "local", records, [{"gemm": [3.0]}, {}], {})
    assert candidates.known(selection("other"), "local", records) == [{"direct": 2.0, "gemm": 3.0}, {"direct": 4.0}]
    assert candidates.missing(stage, "local", records) is None
    assert candidates.known(stage, "board", records) == [{}, {}]
