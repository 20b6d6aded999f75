"""Executions that configurations lack: found one at a time, and queued by how many configurations wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from explorer.core.artifact import Artifact
from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement.sessions import Estimate
from explorer.engines.engine import Engine
from explorer.line import contracts
from explorer.line.stage import Stage
from explorer.search.jobs import Job, JobQueue, Known, Lacking
from tests.scripted_workers import BOARD, NATIVE, ScriptedWorkers, context_of, session_of
from tests.typed_stages import comparison, data, evaluation, measurement, tuning


def test_what_most_configurations_wait_for_comes_first_and_what_has_begun_never_again() -> None:
    queue = JobQueue(2)
    jobs = [Job((name, ""), "build", "tvm", lambda: None) for name in "abc"]
    for job in jobs:
        queue.put(job, 1)
    queue.put(jobs[2], 2)
    assert queue.take() == jobs[2]
    queue.put(jobs[2], 3)
    assert queue.take() == jobs[0]
    assert queue.take() is None, "nobody is free"
    queue.give_back()
    assert queue.take() == jobs[1]
    queue.give_back()
    assert not queue.waiting
    assert queue.take() is None


DATA, EVALUATE, MEASURE, TUNE = data(), evaluation(), measurement(), tuning("board")
CONFIRM = comparison("board")


@pytest.fixture
def workers() -> ScriptedWorkers:
    workers = ScriptedWorkers()
    workers.answers |= {"data": {"train": 10}, "measure": session_of([1.0, 2.0, 3.0]), "tune": {"trials": 3}}
    workers.answers["confirm"] = {"faster": True, "no_control": ""}
    return workers


@pytest.fixture
def known(tmp_path: Path, workers: ScriptedWorkers) -> Iterator[Known]:
    with Engine(context_of(tmp_path, {"board": BOARD}), workers) as engine:
        workers.asked.clear()
        yield Known(engine)


def test_what_is_not_there_is_a_job_and_then_it_is_there(known: Known, workers: ScriptedWorkers) -> None:
    asks: list[tuple[Callable[[], Artifact | Estimate], Stage, str, str]] = [
        (lambda: known.run(DATA), DATA, "", "torch"),
        (lambda: known.tune(TUNE, "board"), TUNE, "board", "board"),
        (lambda: known.confirm(CONFIRM, "board"), CONFIRM, "board", "board"),
        (lambda: known.measure(MEASURE, "board"), MEASURE, "board", "board"),
    ]
    for ask, stage, device, queue in asks:
        with pytest.raises(Lacking) as lacking:
            ask()
        job = lacking.value.job
        assert (job.key, job.stage, job.queue) == ((stage.key, device), stage.name, queue)
        assert not workers.asked, "nothing is executed until the job is"
        job.execute()
        workers.asked.clear()
        assert ask() == ask()
        assert not workers.asked
    assert (known.host, known.target("board"), known.lanes("board")) == (NATIVE, NATIVE, 8)


def test_an_execution_that_failed_is_no_job_again(known: Known) -> None:
    failure = Failure("data", "exception", "no such data set")
    known.failures[DATA.key, ""] = failure
    with pytest.raises(StageFailed) as failed:
        known.run(DATA)
    assert failed.value.failure == failure


def test_parents_of_which_any_will_do_come_before_the_job(known: Known) -> None:
    above = data("above")

    def equivalent() -> contracts.evaluate.Parents:
        known.run(above)
        return EVALUATE.parents

    with pytest.raises(Lacking) as lacking:
        known.run(EVALUATE, equivalent)
    assert lacking.value.job.key == (above.key, "")
