"""Tuning over a real loopback server: what is on record is used, through larger budgets, kills and servers that die."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.engines import local
from explorer.engines.context import EngineContext
from explorer.engines.engine import Engine
from explorer.inputs.external import ExternalInputs
from explorer.line.contracts import tune
from explorer.line.tuning.database import Log
from explorer.processes import loopback
from explorer.processes.pool import Worker
from explorer.space.devices import Device
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import forks, studies

CORES = sorted(os.sched_getaffinity(0))


class Tuner:
    """A TVM worker with a lowered network and a loopback device."""

    def __init__(self, folder: Path, tracker: str) -> None:
        self.folder, self.tracker = folder, tracker
        self.worker = Worker("tvm", "tvm 1", folder / "tvm-1.log", threads=1)
        self.target = self.call("write_network", folder=str(folder))
        self.lowered = folder / "lower"
        self.lowered.mkdir()
        parameters = {"algorithm": "spatial_pack", "format": "dense", "dtype": "float32", "target": self.target}
        self._request("lower", parameters, {"network": folder}, self.lowered)

    def call(self, function: str, **arguments: Any) -> Any:
        return self.worker.request({"call": f"tests.tuned:{function}", "arguments": arguments})

    def tune(
        self, database: Path, trials: int, hear: Callable[[Mapping[str, Any]], None] = lambda word: None, **other: Any
    ) -> tuple[dict[str, Any], Path]:
        parameters = {
            "tuner": "template", "tuning_trials": trials, "tuning_seconds": 0, "target": self.target, "threads": 1,
            "device": "local", "tracker": self.tracker, "key": "local", "database": str(database), "reconnect": 0,
            **other,
        }  # fmt: skip
        out = database.with_name(f"{database.name}-{trials}-out")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        return self._request("tune", parameters, {"lower": self.lowered}, out, hear), out

    def _request(
        self, stage: str, parameters: Any, parents: Mapping[str, Path], out: Path, hear: Any = lambda word: None
    ) -> dict[str, Any]:
        artifacts = {
            name: {"stage": name, "key": "", "path": str(path), "values": {}, "seconds": 0.0}
            for name, path in parents.items()
        }
        request = {"stage": stage, "parameters": parameters, "parents": artifacts, "out": str(out)}
        values: dict[str, Any] = self.worker.request(request, None, hear)
        return values


@pytest.fixture(scope="module")
def tuner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuner]:
    folder = tmp_path_factory.mktemp("tuning")
    with loopback.server("local", CORES[:1], folder / "server.log") as tracker:
        made = Tuner(folder, tracker)
        yield made
        made.worker.stop()


def logs(database: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in database.rglob("*.jsonl")}


def candidates(database: Path) -> list[tuple[str, str]]:
    """Return the layer and the decision of all on record, the rules' own not counted."""
    return [
        (name, json.dumps(line["decision"]))
        for name, content in logs(database).items()
        for line in map(json.loads, content.splitlines())
        if line.get("decision") is not None
    ]


def test_a_tuned_network_computes_the_same_and_a_larger_budget_goes_on(tuner: Tuner, tmp_path: Path) -> None:
    database = tmp_path / "database"
    values, out = tuner.tune(database, 5)
    assert values["trials"] == 5 == len(candidates(database))
    assert values["trials_on_record"] == 0
    assert values["failed"] == {}
    assert 0 < values["expected_ms"] <= values["expected_untuned_ms"]
    layers = json.loads((out / "tuned.json").read_text())
    assert sum(layer["trials"] for layer in layers) == 5
    assert sum(layer["decision"] is not None for layer in layers) == values["layers_faster"]
    assert tuner.call("error_of_tuned", lowered=str(tuner.lowered), tuned=str(out)) < 1e-5

    before = logs(database)
    values, _ = tuner.tune(database, 6)
    assert values["trials"] == 6
    assert values["trials_on_record"] == 5
    assert all(logs(database)[name].startswith(content) for name, content in before.items())
    assert len(candidates(database)) == 6 == len(set(candidates(database)))

    before = logs(database)
    values, _ = tuner.tune(database, 5)
    assert (values["trials"], values["trials_on_record"]) == (5, 5)
    assert [*map(len, before.values())] == [*map(len, logs(database).values())], "nothing is measured twice"


def test_a_killed_tuning_goes_on_after_the_last_line(tuner: Tuner, tmp_path: Path) -> None:
    database = tmp_path / "database"
    seen: dict[str, bytes] = {}

    def kill(word: Mapping[str, Any]) -> None:
        if not seen and len(candidates(database)) >= 4:
            seen.update(logs(database))
            process = tuner.worker._process
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(StageFailed, match="SIGKILL"):
        tuner.tune(database, 8, kill)
    assert seen
    left = len(candidates(database))
    assert left < 8
    values, _ = tuner.tune(database, 8)
    assert values["trials"] == 8 == len(candidates(database)) == len(set(candidates(database)))
    assert values["trials_on_record"] == left
    assert all(logs(database)[name].startswith(content) for name, content in seen.items())


def test_time_is_a_budget_too(tuner: Tuner, tmp_path: Path) -> None:
    values, _ = tuner.tune(tmp_path / "database", 0, tuning_seconds=1)
    assert values["tuning_seconds"] >= 1
    again, _ = tuner.tune(tmp_path / "database", 0, tuning_seconds=1)
    assert again["trials_on_record"] == again["trials"] == values["trials"]


def test_a_layer_starts_with_what_was_best_of_a_similar_one(tuner: Tuner, tmp_path: Path) -> None:
    database, step = tmp_path / "database", 2
    tuner.tune(database, 2 * 3 * step)  # two steps for each of the three layers
    described = {path: json.loads(path.with_suffix(".json").read_text()) for path in database.rglob("*.jsonl")}
    # The first layer reads the network's input; the other two differ in what follows the convolution only.
    one, other = (Log(path).trials[:step] for path, own in described.items() if len(own["arguments"][0][0]) == 5)
    bests = [min(layer, key=lambda trial: trial.ms or 9e9).decision for layer in (one, other)]
    assert bests[0] in [trial.decision for trial in other] or bests[1] in [trial.decision for trial in one]


def test_wrong_results_are_told_from_right_ones(tuner: Tuner, tmp_path: Path) -> None:
    found = tuner.call("measured", lowered=str(tuner.lowered), folder=str(tmp_path), tracker=tuner.tracker, key="local")
    assert all(len(samples) >= 1 and min(samples) > 0 for samples in found["right"].values())
    assert [result[0] for result in found["wrong"].values()] == ["wrong output"] * 2


def test_what_builders_cannot_build_is_counted_by_cause(tuner: Tuner, tmp_path: Path) -> None:
    always = {"lowered": str(tuner.lowered), "folder": str(tmp_path), "wrong": {"tile": [99, 1, 1]}}

    def built(kill: bool = False, seconds: float | None = None) -> Any:
        return tuner.call("built", **always, kill=kill, seconds=seconds)

    assert built() == {"functions": 1, "errors": {"1": "schedule"}, "again": 1}
    assert built(kill=True) == {"functions": 1, "errors": {"1": "schedule"}, "again": 1}
    assert built(seconds=0.0) == {"functions": 0, "errors": {"0": "build timeout", "1": "build timeout"}, "again": 1}


def test_a_device_that_is_gone_is_waited_for_and_then_reported(tuner: Tuner, tmp_path: Path) -> None:
    database = tmp_path / "database"
    with pytest.raises(StageFailed, match=r"no RPC tracker answers at 127.0.0.1:9.*\(waited for 2 s\)") as failed:
        tuner.tune(database, 8, tracker="127.0.0.1:9", reconnect=2)
    assert failed.value.failure.kind == "device"


class Killer(studies.Events):
    """Kills the loopback server once a candidate is on record."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self.database, self.killed = database, False

    def advanced(self, worker: str, done: int, total: int, text: str) -> None:
        if not self.killed and candidates(self.database):
            self.killed = True
            for server in forks.running("explorer.processes.loopback"):
                server.kill()


def test_a_tuning_goes_on_with_a_new_server_when_the_old_one_dies(tuner: Tuner, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    store = Store(workspace.artifacts)
    events = Killer(workspace.artifacts / "tuning")
    devices = {"local": Device(name="local", tracker="loopback", key="local", cores=tuple(CORES[:1]))}
    external = ExternalInputs({}, {}, {})
    context = EngineContext(store, Records(workspace.url), workspace.logs, external, devices, 1, events)
    engine = Engine(context, local.build(context, None))
    lowered = Artifact("lower", "key", tuner.lowered)
    with engine:
        stage = tune.Stage(tune.Parameters("template", 6, 0, tuner.target, 1, "local"), tune.Parents(lowered))
        tuned = engine.tune(stage, "local")
    assert events.killed
    assert any("the server of device 'local' is gone" in note for note in events.notes)
    assert tuned.values["trials"] == 6
    found = candidates(events.database)
    assert len(found) == len(set(found)) == 6
    assert engine.tune(stage, "local").key == tuned.key, "from the store: the engine has no device any more"
