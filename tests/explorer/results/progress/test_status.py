from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from explorer.core.configuration import Configuration
from explorer.results.progress import status
from explorer.search.successive_halving import Finished
from tests.explorer.frames import complete, failed, frame_of
from tests.explorer.searched import searched


def test_failures_are_counted_by_stage_and_kind() -> None:
    frame = frame_of(failed(0, "build", "crash"), failed(1), failed(2), complete(3, 0.9, 1.0))
    rows = status.failures(frame).to_dict("records")
    assert [(row["failed_stage"], row["trials"], row["numbers"]) for row in rows] == [
        ("measure", 2, [1, 2]),
        ("build", 1, [0]),
    ]
    assert rows[0]["failure"] == "the worker of trial 1 ended"
    assert status.failures(pd.DataFrame()).empty
    assert status.failures(frame_of(complete(0, 0.9, 1.0))).empty


def judged(number: int, width: float, budget: int, latency: float, device: str = "local") -> Finished:
    tuner = "template" if budget else None
    stack = Configuration("digits", "resnet18", width, tuning_trials=budget, tuner=tuner, device=device)
    return Finished(number, stack, {"latency_ms": latency, "latency_low_ms": latency, "latency_high_ms": latency})


def test_ranks_tell_how_often_and_whom_a_larger_budget_puts_first() -> None:
    trials = [
        judged(0, 1.0, 0, 3.0), judged(1, 2.0, 0, 2.0), judged(2, 3.0, 0, 1.0), judged(3, 4.0, 0, 0.1),
        judged(4, 1.0, 8, 2.9), judged(5, 2.0, 8, 0.5), judged(6, 3.0, 8, 0.9),
        judged(7, 2.0, 64, 0.4), judged(8, 3.0, 64, 0.8),
        judged(9, 1.0, 0, 1.0, "board"),
    ]  # fmt: skip
    first, second = status.ranks(trials)
    assert (first.smaller, first.larger, first.stacks, first.pairs, first.inverted) == (0, 8, 3, 3, 1)
    assert (first.winner, first.tuned_winner, first.winner_changes) == (2, 5, True)  # trial 3 was not judged with both
    assert (second.smaller, second.larger, second.pairs, second.inverted) == (8, 64, 1, 0)
    assert (second.winner, second.tuned_winner, second.winner_changes) == (5, 7, False)
    assert status.ranks(trials[:4]) == []


def test_the_status_of_a_study_is_counted_from_its_records(tmp_path: Path) -> None:
    _, records = searched(tmp_path)
    found = status.status_of("drawn", records, records.frame("drawn"))
    assert (found.ended.complete, found.ended.failed, found.ended.skipped) == (10, 2, 0)
    assert found.skipped.empty
    plain = json.loads(json.dumps(found.as_dict()))
    assert (plain["study"], plain["complete"], plain["stages"]) == ("drawn", 10, {"train": {"count": 2, "sum": 4.0}})
    assert [cause["numbers"] for cause in plain["failures"]] == [[4, 9]]
    assert plain["tuning"] == []
