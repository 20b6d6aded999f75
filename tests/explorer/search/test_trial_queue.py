"""Trials of a study, handed out to threads one at a time until there are as many as wanted."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.search.optuna_study.study import Study
from explorer.search.trial_queue import Asked, TrialQueue
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.explorer.spaces import make
from tests.studies import Events

RECORD = Record(
    {"accuracy": 0.9, "latency_ms": 1.0, "latency_low_ms": 0.9, "latency_high_ms": 1.1, "size_bytes": 10}
)  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of four configurations."""
    place = Workspace(tmp_path / "w")
    place.root.mkdir()
    axes = {"dataset": ["digits"], "model": ["resnet18"], "algorithm": ["direct", "gemm"], "threads": [1, 2]}
    return Study(make(tmp_path, axes, sampler="grid", trials=4), place, Records(place.url))


def queue_of(study: Study, wanted: int, events: Events | None = None) -> TrialQueue:
    return TrialQueue(study, contextlib.nullcontext, events or Events(), wanted)


def drained(queue: TrialQueue) -> list[Asked]:
    asked = []
    while (trial := queue.ask()) is not None:
        asked.append(trial)
        queue.tell(trial, RECORD, 1.0)
    return asked


def test_it_hands_out_as_many_as_are_wanted_and_no_configuration_twice(study: Study) -> None:
    events = Events()
    first = drained(queue_of(study, 3, events))
    assert [number for number, _ in first] == [0, 1, 2]
    assert list(events.outcomes) == [0, 1, 2]
    rest = drained(queue_of(study, 3))
    assert len(rest) == 1, "there are four configurations"
    assert len({configuration.id for _, configuration in first + rest}) == 4


def test_a_stopped_queue_hands_out_and_takes_in_nothing(study: Study) -> None:
    events = Events()
    queue = queue_of(study, 4, events)
    asked = queue.ask()
    assert asked
    queue.stop()
    queue.tell(asked, Failure("train", "stopped", "the explorer was stopped"), 1.0)
    assert queue.ask() is None
    assert not events.outcomes
    assert study.outcome(asked[0]) is None, "the next run takes it up again"


class Promoting:
    """A study of two trials, the second of which it gives out once the first has ended, as one with rungs may do."""

    promotes = True

    def __init__(self) -> None:
        self.ended = 0
        self.given = 0

    def ask(self) -> Asked | None:
        if self.given > self.ended or self.given == 2:
            return None
        self.given += 1
        return self.given - 1, Configuration("digits", "resnet18", threads=self.given)

    def tell(self, number: int, configuration: Configuration, outcome: Record | Failure, seconds: float) -> None:
        self.ended += 1


def test_a_thread_waits_while_a_trial_under_way_may_bring_about_another_one() -> None:
    queue = queue_of(Promoting(), 5)  # type: ignore[arg-type]
    first = queue.ask()
    assert first
    with ThreadPoolExecutor() as executor:
        waiting = executor.submit(queue.ask)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        queue.tell(first, RECORD, 1.0)
        second = waiting.result(timeout=10)
        assert second
        assert second[0] == 1
        queue.tell(second, RECORD, 1.0)
    assert queue.ask() is None, "nothing is under way"


def test_a_thread_that_waits_for_a_trial_ends_with_the_explorer() -> None:
    queue = queue_of(Promoting(), 5)  # type: ignore[arg-type]
    assert queue.ask()
    asks = threading.Event()

    def ask() -> Asked | None:
        asks.set()
        return queue.ask()

    with ThreadPoolExecutor() as executor:
        waiting = executor.submit(ask)
        assert asks.wait(10)
        queue.stop()
        assert waiting.result(timeout=10) is None
