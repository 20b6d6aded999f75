"""What every engine must do, whatever its workers are; a new file in the folder of engines is tested by being there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.errors import ExplorerError, StageFailed
from explorer.core.settings import DataSettings
from explorer.engines.context import EngineContext
from explorer.engines.engine import Engine
from explorer.engines.workers import TORCH, TVM, Workers
from explorer.line import contracts
from explorer.processes.pool import Word
from explorer.search.search import Where
from explorer.space.devices import LOCAL
from tests.contract.engines import loaded, of_the_slow
from tests.scripted_workers import context_of
from tests.studies import Events

OWN_PID = {"call": "os:getpid", "arguments": {}}


@dataclass(frozen=True)
class Running:
    """An engine that has reached this machine's loopback device."""

    engine: Engine
    workers: Workers
    context: EngineContext

    @property
    def events(self) -> Events:
        assert isinstance(self.context.observer, Events)
        return self.context.observer


@pytest.fixture(scope="module", params=of_the_slow(plugins.names("engine")))
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    context = context_of(tmp_path_factory.mktemp("workspace"), {"local": LOCAL}, threads=1)
    workers = loaded(request.param).build(context, None)
    with Engine(context, workers) as engine:
        yield Running(engine, workers, context)


def digits(seed: int = 0, dataset: str = "digits") -> contracts.data.Stage:
    source = Artifact("source", "source", Path.cwd())
    parameters = contracts.data.Parameters(dataset, DataSettings(seed=seed))
    return contracts.data.Stage(parameters, contracts.data.Parents(source))


def test_modules_beside_the_engines_are_none() -> None:
    assert plugins.names("engine") == ("local", "ray")
    with pytest.raises(ExplorerError, match=r"unknown engine 'devices'; allowed: local, ray"):
        Where("devices")


def test_the_device_is_reached_and_described(running: Running) -> None:
    assert "reach local" in running.events.stages
    assert running.engine.target("local") == running.engine.host
    assert running.engine.host["kind"] == "llvm"
    assert running.engine.lanes("local") in (4, 8, 16)


def test_it_says_how_much_is_worth_being_under_way(running: Running) -> None:
    sizes = running.engine.sizes
    assert set(sizes) == {TORCH, TVM}
    assert all(size >= 1 for size in sizes.values())
    assert running.engine.concurrency >= 1


def test_workers_are_other_processes_and_fail_by_a_value(running: Running) -> None:
    with running.workers.worker(TORCH) as worker:
        assert worker.name
        assert worker.request(OWN_PID) != os.getpid()
        with pytest.raises(StageFailed) as caught:
            worker.request({"call": "os:listdir", "arguments": {"path": "/nowhere"}})
    assert caught.value.failure.kind == "exception"
    assert "FileNotFoundError" in caught.value.failure.message
    with running.workers.worker(TVM) as worker, pytest.raises(StageFailed, match="torch"):
        worker.request({"call": "torch:get_num_threads", "arguments": {}})


def test_a_worker_that_dies_is_a_failure_and_the_next_one_answers(running: Running) -> None:
    with running.workers.worker(TORCH) as worker, pytest.raises(StageFailed) as caught:
        worker.request({"call": "os:abort", "arguments": {}})
    assert caught.value.failure.kind == "crash"
    with running.workers.worker(TORCH) as worker:
        assert worker.request(OWN_PID) > 0


def count_aloud(steps: int) -> str:
    from explorer.line.execution import current

    for step in range(steps):
        current().note(f"step {step}")
    return "counted"


def test_words_before_a_reply_are_heard_in_order(running: Running, tmp_path: Path) -> None:
    heard: list[Word] = []
    call = {"call": f"{__name__}:count_aloud", "arguments": {"steps": 20}, "out": str(tmp_path / "out")}
    with running.workers.worker(TORCH) as worker:
        assert worker.request(call, hear=heard.append) == "counted"
    assert [word["note"] for word in heard] == [f"step {step}" for step in range(20)]


def test_a_stage_is_executed_once_and_found_then(running: Running) -> None:
    made = running.engine.run(digits())
    assert made.values["shape"] == [1, 8, 8]
    assert list(made.path.iterdir())
    before = len(running.events.stages)
    assert running.engine.run(digits()) == made
    assert len(running.events.stages) == before
    assert running.context.store.find("data", made.key) == made


def test_a_failure_is_on_record_and_not_provoked_again(running: Running) -> None:
    stage = digits(dataset="no_such_data_set")
    before = len(running.events.stages)
    for _ in range(2):
        with pytest.raises(StageFailed, match="unknown dataset 'no_such_data_set'"):
            running.engine.run(stage)
    assert len(running.events.stages) == before + 1
    executions = running.context.records.executions.frame()
    assert executions[executions["key"] == stage.key]["failure"].notna().to_list() == [True]


@pytest.mark.parametrize("name", plugins.names("engine"))
@pytest.mark.parametrize(("literal", "option"), [("ADDRESSED", {"address": "head:6379"}), ("TAKES_JOBS", {"jobs": 2})])
def test_literals_say_what_it_takes_from_the_user(name: str, literal: str, option: dict[str, Any]) -> None:
    if plugins.literal("engine", name, literal, default=False):
        assert Where(name, **option).engine == name
    else:
        with pytest.raises(ExplorerError, match=f"^engine {name} takes no {next(iter(option))}"):
            Where(name, **option)
