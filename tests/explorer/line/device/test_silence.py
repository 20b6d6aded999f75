"""A device that says nothing: the process that waits for it is given up, and no other."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.core.errors import StageFailed
from explorer.core.measurement import clocks
from explorer.line.device import silence
from explorer.processes.pool import Worker


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker("torch", "torch 1", tmp_path / "torch-1.log", threads=1)
    yield worker
    worker.stop()


def wait_for_ever(seconds: float) -> None:
    with silence.at_most(seconds):
        signal.pause()


def wait_within(seconds: float, inner: float) -> str:
    """Wait for longer than one limit within another one that allows it, and afterwards for less than the first."""
    with silence.at_most(seconds):
        with silence.at_most(inner):
            time.sleep(2 * seconds)
        time.sleep(seconds / 2)
        return "answered"


def compute_for_long(seconds: float) -> str:
    """Take long between two calls of a device."""
    with silence.at_most(seconds):
        pass
    time.sleep(2 * seconds + 2 * silence.LOOK)
    with silence.at_most(seconds):
        return "answered"


def call(function: str, **arguments: float) -> dict[str, object]:
    return {"call": f"{__name__}:{function}", "arguments": arguments}


def test_a_device_that_says_nothing_is_given_up_and_the_next_request_is_answered(worker: Worker) -> None:
    with pytest.raises(StageFailed) as caught:
        worker.request(call("wait_for_ever", seconds=0.5))
    failure = caught.value.failure
    assert (failure.kind, failure.message) == ("device", "the device has said nothing for 0.5 s")
    assert failure.transient
    assert worker.request({"call": "os:getpid", "arguments": {}}) > 0


def test_what_has_a_limit_of_its_own_counts_for_no_other(worker: Worker) -> None:
    assert worker.request(call("wait_within", seconds=1.5, inner=60.0)) == "answered"


def test_what_is_computed_here_meanwhile_has_no_limit(worker: Worker) -> None:
    assert worker.request(call("compute_for_long", seconds=0.2)) == "answered"


def test_the_same_call_is_given_its_longest_time_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    given: list[float] = []
    monkeypatch.setattr(clocks, "running", lambda: now[0])
    monkeypatch.setattr(silence._WATCH, "begin", lambda own: given.append(own.seconds))
    monkeypatch.setattr(silence._WATCH, "end", lambda now: None)
    durations = iter([2.0, 5.0, 1.0, 1.0])

    def answer() -> None:
        now[0] += next(durations)

    limited = silence.limited(answer, first=300.0)
    for _ in range(4):
        limited()
    assert given == [300.0, *(silence.LEAST + silence.TIMES * longest for longest in (2.0, 5.0, 5.0))]


def test_the_limits_grow_with_the_work() -> None:
    assert silence.of_bytes(0) == silence.of_run(0) == silence.LEAST
    assert silence.of_bytes(100 << 20) > 600, "100 MB over a slow link"
    assert silence.of_run(4_100_000_000) > 300, "ResNet50 on a slow core"
    assert silence.of_run(10, runs=20) == silence.of_run(200)
