"""What an engine does with any workers: each result once, each failure once, and measurements on quiet cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import Failure, StageFailed
from explorer.engines.context import EngineContext
from explorer.engines.engine import Engine
from explorer.line import contracts
from explorer.processes.pool import Request
from explorer.space.devices import LOCAL
from tests.scripted_workers import BOARD, NATIVE, ScriptedWorkers, context_of
from tests.studies import Events
from tests.typed_stages import data, evaluation, made, measurement, selection, tuning

DATA, EVALUATE, MEASURE, TUNE = data(), evaluation(), measurement(), tuning()
SAMPLES = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def measured(request: Request) -> dict[str, Any]:
    return {"samples_ms": SAMPLES, "temperature": 40}


@pytest.fixture
def workers() -> ScriptedWorkers:
    workers = ScriptedWorkers()
    workers.answers |= {"data": {"train": 10}, "measure": measured, "tune": {"trials": 3}}
    return workers


@pytest.fixture
def context(tmp_path: Path) -> EngineContext:
    return context_of(tmp_path, {"local": LOCAL, "board": BOARD})


@pytest.fixture
def engine(context: EngineContext, workers: ScriptedWorkers) -> Iterator[Engine]:
    with Engine(context, workers) as engine:
        workers.asked.clear()
        yield engine


def test_it_brings_workers_and_devices_up_and_down(context: EngineContext, workers: ScriptedWorkers) -> None:
    with Engine(context, workers) as engine:
        assert workers.started
        assert engine.host == engine.target("local") == NATIVE
        assert engine.lanes("local") == 8
        assert (engine.concurrency, engine.sizes) == (workers.concurrency, workers.sizes)
    assert not workers.started
    assert workers.running == 0
    engine.stop()
    assert workers.stopped


def test_a_stage_is_executed_once_beside_other_computations(engine: Engine, workers: ScriptedWorkers) -> None:
    assert engine.look(DATA) is None
    found = engine.run(DATA)
    assert dict(found.values) == {"train": 10}
    assert engine.run(DATA) == engine.look(DATA) == found
    assert workers.asked == [("data", "torch", "computing")]


def test_threads_that_want_one_stage_execute_it_once(engine: Engine, workers: ScriptedWorkers) -> None:
    begun, ends = threading.Event(), threading.Event()

    def slowly(request: Request) -> dict[str, Any]:
        begun.set()
        assert ends.wait(10)
        return {"train": 10}

    workers.answers["data"] = slowly
    with ThreadPoolExecutor() as executor:
        first = executor.submit(engine.run, DATA)
        assert begun.wait(10)
        second = executor.submit(engine.run, DATA)
        ends.set()
        assert first.result() == second.result()
    assert len(workers.asked) == 1


def test_parents_of_which_any_will_do_are_asked_for_only_to_execute(engine: Engine, workers: ScriptedWorkers) -> None:
    asked = []

    def equivalent() -> contracts.evaluate.Parents:
        asked.append(workers.cores.use)
        return replace(EVALUATE.parents, lower=made("lower", "any"))

    workers.answers["evaluate"] = {"accuracy": 0.9}
    found = engine.run(EVALUATE, equivalent)
    assert engine.run(EVALUATE, equivalent) == found == engine.look(EVALUATE), "they are not in its key"
    assert asked == ["nothing"], "to build them may mean to wait for a measurement, which wants the cores"
    parents: Any = workers.requests[-1]["parents"]
    assert parents["lower"]["key"] == "any"


def test_a_note_of_a_stage_is_told(engine: Engine, context: EngineContext, workers: ScriptedWorkers) -> None:
    workers.answers["data"] = {"note": "half of the images are black"}
    engine.run(DATA)
    assert isinstance(context.observer, Events)
    assert context.observer.notes == ["half of the images are black"]


def test_what_fails_once_is_not_tried_again(engine: Engine, workers: ScriptedWorkers) -> None:
    for name in ("data", "tune"):
        workers.answers[name] = StageFailed(Failure(name, "exception", "no such thing"))
    for _ in range(2):
        with pytest.raises(StageFailed, match="no such thing"):
            engine.run(DATA)
        with pytest.raises(StageFailed, match="no such thing"):
            engine.tune(TUNE, "local")
    assert [what for what, *_ in workers.asked] == ["data", "tune"]


def test_a_measurement_here_has_the_cores_alone_and_one_elsewhere_leaves_them(
    engine: Engine, context: EngineContext, workers: ScriptedWorkers
) -> None:
    for device, use in (("local", "alone"), ("board", "nothing")):
        assert engine.known(MEASURE, device) is None
        found = engine.measure(MEASURE, device)
        assert found.value == 4.0
        assert engine.measure(MEASURE, device) == engine.known(MEASURE, device) == found
        assert workers.asked.pop() == ("measure", "tvm", use)
        assert not workers.asked
        (observation,) = context.records.measurements(MEASURE.key, device)
        assert observation["details"]["temperature"] == 40
    assert [each["parameters"] for each in workers.requests if each.get("stage") == "measure"] == [
        {**MEASURE.parameters.keyed(), "tracker": "127.0.0.1:1", "key": "local"},
        {**MEASURE.parameters.keyed(), "tracker": BOARD.tracker, "key": "board"},
    ]


def test_a_tuning_computes_here_while_it_measures_elsewhere(engine: Engine, workers: ScriptedWorkers) -> None:
    for device, use in (("local", "alone"), ("board", "computing")):
        stage = tuning(device)
        assert dict(engine.tune(stage, device).values) == {"trials": 3}
        assert dict(engine.tune(stage, device).values) == {"trials": 3}
        assert workers.asked.pop() == ("tune", "tvm", use)
        assert not workers.asked


def test_a_server_that_is_gone_is_started_again_once(engine: Engine, workers: ScriptedWorkers) -> None:
    gone = StageFailed(Failure("measure", "device", "gone"))
    workers.answers["measure"] = [gone, measured]
    assert engine.measure(MEASURE, "local").value == 4.0
    again = {**MEASURE.parameters.keyed(), "tracker": "127.0.0.1:2", "key": "local"}
    assert workers.requests[-1]["parameters"] == again
    other = measurement(threads=2)
    workers.answers["measure"] = [gone, gone]
    with pytest.raises(StageFailed, match="gone"):
        engine.measure(other, "local")
    assert len(workers.served) == 3


def test_a_device_that_is_not_served_here_is_not_started_again(engine: Engine, workers: ScriptedWorkers) -> None:
    workers.answers["measure"] = StageFailed(Failure("measure", "device", "gone"))
    with pytest.raises(StageFailed, match="gone"):
        engine.measure(MEASURE, "board")
    assert len(workers.asked) == 1


def test_a_tuning_goes_on_as_long_as_it_gets_further(engine: Engine, workers: ScriptedWorkers) -> None:
    gone = StageFailed(Failure("tune", "device", "gone"))

    def further(request: Request) -> None:
        parameters: Any = request["parameters"]
        assert parameters["reconnect"] == 0, "the explorer itself starts the server again"
        folder = Path(parameters["database"])
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "layer.jsonl").open("a") as log:
            log.write("a candidate\n")
        raise gone

    workers.answers["tune"] = [further, further, further, {"trials": 3}]
    assert dict(engine.tune(TUNE, "local").values) == {"trials": 3}
    assert len(workers.asked) == 4


def test_candidates_are_built_and_measured_once_for_all_that_select_among_them(
    engine: Engine, workers: ScriptedWorkers
) -> None:
    def select(request: Request) -> dict[str, Any]:
        parameters: Any = request["parameters"]
        new = [{"direct": SAMPLES, "gemm": SAMPLES}, {"direct": SAMPLES}]
        return {"samples": [{} if known else own for known, own in zip(parameters["known"], new, strict=True)]}

    workers.answers |= {"candidates": {}, "select": select}
    chosen = engine.select(selection("auto"), "local")
    assert (chosen.values["problems"], chosen.values["measured"]) == (2, 2)
    assert engine.select(selection("auto"), "local") == chosen
    again = engine.select(selection("other"), "local")
    assert (again.values["problems"], again.values["measured"]) == (2, 0)
    assert workers.asked == [
        ("candidates", "tvm", "computing"),
        ("select", "tvm", "alone"),
        ("select", "tvm", "computing"),
    ]
