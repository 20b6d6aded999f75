"""An engine with any workers: each result once, each failure once, and measurements on quiet cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement.sessions import Readings
from explorer.engines import executor
from explorer.engines.context import EngineContext
from explorer.engines.engine import Engine
from explorer.line import contracts
from explorer.processes.pool import Request
from explorer.space.devices import LOCAL
from tests.scripted_workers import BOARD, NATIVE, ScriptedWorkers, context_of, session_of
from tests.studies import Events
from tests.typed_stages import comparison, data, evaluation, made, measurement, selection, tuning

DATA, EVALUATE, MEASURE, TUNE = data(), evaluation(), measurement(), tuning()
SAMPLES = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def measured(request: Request) -> dict[str, Any]:
    return {**session_of(SAMPLES), "temperature": 40}


def sent(workers: ScriptedWorkers) -> list[dict[str, Any]]:
    """Return the parameters of every session that workers were asked for, the address apart."""
    found = []
    for request in workers.requests:
        if request.get("stage") == "measure":
            parameters: Any = request["parameters"]
            address = {name: parameters[name] for name in ("tracker", "key")}
            found.append({**parameters, "address": address, "control": request["parents"].get("control")})  # type: ignore[attr-defined]
    return found


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
    for device, use, control in (("local", "alone", [("control", "tvm", "computing")]), ("board", "nothing", [])):
        assert engine.known(MEASURE, device) is None
        found = engine.measure(MEASURE, device)
        assert (found.interval.value, found.sessions) == (4.0, 1)
        assert engine.measure(MEASURE, device) == engine.known(MEASURE, device) == found
        assert workers.asked == [*control, ("measure", "tvm", use)], "the board's target is this machine's"
        workers.asked.clear()
        (observation,) = context.records.measurements.of(MEASURE.key, device)
        assert observation["details"]["temperature"] == 40
        address = observation["details"]["parameters"]
        assert address == {**MEASURE.parameters.keyed(), **sent(workers)[-1]["address"]}
    assert [each["address"] for each in sent(workers)] == [
        {"tracker": "127.0.0.1:1", "key": "local"},
        {"tracker": BOARD.tracker, "key": "board"},
    ]


def test_a_measurement_on_an_emulated_device_is_marked(tmp_path: Path, workers: ScriptedWorkers) -> None:
    context = context_of(tmp_path, {"local": LOCAL, "board": BOARD.model_copy(update={"emulated": True})})
    with Engine(context, workers) as engine:
        found = {device: engine.measure(MEASURE, device).emulated for device in ("local", "board")}
    assert found == {"local": False, "board": True}
    ((here,), (there,)) = (context.records.measurements.of(MEASURE.key, device) for device in ("local", "board"))
    assert "emulated" not in here["details"]["parameters"]
    assert there["details"]["parameters"]["emulated"] is True


def test_a_later_session_adds_to_the_first(engine: Engine, context: EngineContext, workers: ScriptedWorkers) -> None:
    workers.answers["measure"] = [session_of([4.0]), session_of([5.0]), session_of([6.0])]
    first = engine.measure(MEASURE, "local")
    second, third = (engine.measure_again(MEASURE, "local", patience=7.0) for _ in range(2))
    assert [(each.interval.value, each.sessions) for each in (first, second, third)] == [(4.0, 1), (4.5, 2), (5.0, 3)]
    assert engine.known(MEASURE, "local") == engine.measure(MEASURE, "local") == third
    observed = context.records.measurements.of(MEASURE.key, "local")
    assert [each["samples_ms"] for each in observed] == [[4.0], [5.0], [6.0]]
    assert [(each["compares"], each["patience"]) for each in sent(workers)] == [(True, 0.0), (False, 7.0), (False, 7.0)]


def test_a_session_is_told_what_is_usual_and_where_the_device_is(engine: Engine, workers: ScriptedWorkers) -> None:
    typical = Readings(0.3, 0.8, 2.0)
    workers.answers["measure"] = lambda request: session_of(SAMPLES, typical)
    for stage, device in ((MEASURE, "local"), (measurement(2), "local"), (MEASURE, "board")):
        engine.measure(stage, device)
    engine.measure_again(MEASURE, "local")
    here, more_threads, elsewhere, again = sent(workers)
    assert [each["usual"] for each in (here, more_threads, elsewhere)] == 3 * [tuple(Readings())]
    assert again["usual"] == tuple(typical), "of the same device and number of threads"
    assert here["linked"] == again["linked"] != ""
    assert Path(here["linked"]).is_dir(), "sessions link the libraries in it"
    assert (here["cores"], elsewhere["cores"], elsewhere["linked"]) == ((0, 1), (), "")
    assert here["control"]["stage"] == "control"
    assert here["control"]["key"] == elsewhere["control"]["key"]


def test_shared_libraries_are_gone_with_the_engine(context: EngineContext, workers: ScriptedWorkers) -> None:
    with Engine(context, workers) as engine:
        engine.measure(MEASURE, "local")
    assert not Path(sent(workers)[0]["linked"]).exists()


def test_only_quiet_samples_count_unless_none_is(
    engine: Engine, context: EngineContext, workers: ScriptedWorkers
) -> None:
    workers.answers["measure"] = [
        session_of([9.0, 1.0, 2.0, 3.0], quiet=[1, 2, 3]),
        session_of([9.0, 7.0, 8.0], quiet=[]),
    ]
    assert engine.measure(MEASURE, "local").interval.value == 2.0
    engine.measure_again(MEASURE, "local")
    assert [each.median_ms for each in context.records.sessions.of(MEASURE.key, "local")] == [2.0, 8.0]
    first, second = context.records.measurements.of(MEASURE.key, "local")
    assert (first["samples_ms"], second["samples_ms"]) == ([9.0, 1.0, 2.0, 3.0], [9.0, 7.0, 8.0])


def test_runs_of_quiet_samples_tell_how_slow_the_slowest_are(
    engine: Engine, context: EngineContext, workers: ScriptedWorkers
) -> None:
    runs = [float(number) for number in range(1, 101)]
    session = session_of([50.5, 900.0], quiet=[0])
    workers.answers["measure"] = {**session, "runs_ms": [runs[::-1], [900.0]], "first_ms": 7.0, "load_ms": 30.0}
    found = engine.measure(MEASURE, "local")
    (kept,) = context.records.sessions.of(MEASURE.key, "local")
    assert kept.beside == {"latency_p90_ms": 90.0, "latency_p99_ms": 99.0, "first_ms": 7.0, "load_ms": 30.0}
    assert (kept.median_ms, kept.server_peak_bytes) == (50.5, 10**8)
    assert {name: interval.value for name, interval in found.beside.items()} == kept.beside
    assert found.server_peak_bytes == 10**8
    (observation,) = context.records.measurements.of(MEASURE.key, "local")
    assert observation["details"]["runs_ms"] == [runs[::-1], [900.0]], "all runs stay on record"


def test_a_disturbed_session_is_told_by_the_control(engine: Engine, workers: ScriptedWorkers) -> None:
    quiet, other = Readings(0.3, 0.8, 2.0), Readings(0.3, 1.7, 2.0)
    workers.answers["measure"] = [session_of([8.0], other), session_of([4.0], quiet), session_of([4.2], quiet)]
    assert not engine.measure(MEASURE, "local").disturbed, "nothing tells yet"
    found = engine.measure_again(MEASURE, "local")
    assert (found.interval.value, found.sessions, found.disturbed) == (4.0, 1, "")
    found = engine.measure_again(MEASURE, "local")
    assert (found.interval.value, found.sessions, found.disturbed) == (4.1, 2, "")


def test_a_device_that_runs_no_control_is_measured_and_that_is_said_once(
    engine: Engine, context: EngineContext, workers: ScriptedWorkers
) -> None:
    workers.answers["measure"] = lambda request: session_of(SAMPLES, no_control="it has no sched_setaffinity")
    assert engine.measure(MEASURE, "board").interval.value == 4.0
    engine.measure_again(MEASURE, "board")
    assert [each["control"] is None for each in sent(workers)] == [False, True]
    assert isinstance(context.observer, Events)
    (note,) = context.observer.notes
    assert note.startswith("device 'board' runs no control")
    assert note.endswith(": it has no sched_setaffinity")
    engine.measure(MEASURE, "local")
    assert sent(workers)[-1]["control"] is not None, "the other device has one"


def test_a_target_that_the_control_does_not_compile_for_is_measured(
    engine: Engine, context: EngineContext, workers: ScriptedWorkers
) -> None:
    workers.answers["control"] = StageFailed(Failure("control", "exception", "no such target"))
    assert engine.measure(MEASURE, "board").interval.value == 4.0
    assert sent(workers)[0]["control"] is None
    assert isinstance(context.observer, Events)
    (note,) = context.observer.notes
    assert note.endswith(": no such target")


def test_a_tuning_computes_here_while_it_measures_elsewhere(engine: Engine, workers: ScriptedWorkers) -> None:
    for device, use in (("local", "alone"), ("board", "computing")):
        stage = tuning(device)
        assert dict(engine.tune(stage, device).values) == {"trials": 3}
        assert dict(engine.tune(stage, device).values) == {"trials": 3}
        assert workers.asked.pop() == ("tune", "tvm", use)
        assert not workers.asked


def test_two_libraries_are_compared_once_on_quiet_cores_and_by_what_is_known_of_the_device(
    engine: Engine, context: EngineContext, workers: ScriptedWorkers
) -> None:
    workers.answers["measure"] = session_of(SAMPLES, Readings(0.3, 0.8, 2.0))
    engine.measure(MEASURE, "local")
    workers.asked.clear()
    workers.answers["confirm"] = lambda request: {"faster": True, "no_control": "it has no sched_setaffinity"}
    for device, use, control in (("local", "alone", True), ("board", "nothing", True)):
        stage = comparison(device)
        found = engine.confirm(stage, device)
        assert found.values["faster"]
        assert engine.confirm(stage, device) == engine.look(stage) == found
        assert workers.asked == [("confirm", "tvm", use)]
        workers.asked.clear()
        sent: Any = workers.requests[-1]
        assert ("control" in sent["parents"]) == control
        parameters = sent["parameters"]
        assert parameters["usual"] == (tuple(Readings(0.3, 0.8, 2.0)) if device == "local" else tuple(Readings()))
        assert (parameters["linked"] != "", parameters["cores"]) == ((device == "local"), (0, 1) * (device == "local"))
        assert parameters["patience"] > 0
    assert isinstance(context.observer, Events)
    assert [note.partition(" runs")[0] for note in context.observer.notes] == ["device 'local'", "device 'board'"]


def test_a_server_that_is_gone_is_started_again(
    engine: Engine, workers: ScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "PAUSES", (0.0, 0.0))
    gone = StageFailed(Failure("measure", "device", "gone"))
    workers.answers["measure"] = [gone, measured]
    assert engine.measure(MEASURE, "local").interval.value == 4.0
    assert sent(workers)[-1]["address"] == {"tracker": "127.0.0.1:2", "key": "local"}
    other = measurement(threads=2)
    workers.answers["measure"] = [gone, gone, gone]
    for _ in range(2):  # not measured again for the next stack that shares it
        with pytest.raises(StageFailed, match="gone"):
            engine.measure(other, "local")
    assert len(workers.served) == 4


def test_a_device_that_is_not_served_here_is_not_started_again(
    engine: Engine, workers: ScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "PAUSES", (0.0, 0.0))
    workers.answers["measure"] = StageFailed(Failure("measure", "device", "gone"))
    with pytest.raises(StageFailed, match="gone"):
        engine.measure(MEASURE, "board")
    assert [what for what, *_ in workers.asked] == ["control", "measure", "measure", "measure"]
    assert len(workers.served) == 1


def test_a_device_that_is_gone_is_tried_once_by_each_further_stage_until_it_answers(
    engine: Engine, workers: ScriptedWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "PAUSES", (0.0, 0.0))
    gone = StageFailed(Failure("measure", "device", "gone"))

    def attempts(threads: int, *answers: object) -> int:
        workers.asked.clear()
        workers.answers["measure"] = list(answers)
        engine.measure(measurement(threads=threads), "board")
        return [what for what, *_ in workers.asked].count("measure")

    for threads in (1, 2):
        with pytest.raises(StageFailed, match="gone"):
            attempts(threads, gone, gone, gone)
        assert [what for what, *_ in workers.asked].count("measure") == (3 if threads == 1 else 1)
    assert attempts(3, measured) == 1
    assert attempts(4, gone, measured) == 2, "it has answered since"


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
