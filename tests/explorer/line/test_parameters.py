"""Parameters and parents as JSON: a worker reads what was sent, and execution adds nothing to a key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.settings import Settings, TrainSettings
from explorer.line import contracts
from explorer.line.contracts import train, tune
from explorer.line.contracts.on_device import Address
from explorer.line.trials.steps import Steps
from tests.explorer.noting import NotingEngine


def test_the_key_ignores_what_is_added_at_execution() -> None:
    plain = tune.Parameters("template", 8, 0, {"kind": "llvm"}, 1, "local")
    address = Address(tracker="127.0.0.1:9190", key="local")
    informed = replace(plain, address=address, database="folder", reconnect=60)
    lowered: Artifact = Artifact("lower", "a", Path("anywhere"))
    parents = tune.Parents(lowered)
    assert tune.Stage(informed, parents).key == tune.Stage(plain, parents).key
    assert informed.as_json().keys() - informed.keyed().keys() == {"tracker", "key", "database", "reconnect"}


def test_a_worker_reads_what_an_engine_sends() -> None:
    code = {"code of nets:build": Artifact("code", "c", Path("nets"))}
    data: Artifact = Artifact("data", "a", Path("anywhere"))
    parameters = train.Parameters("resnet18", 1, TrainSettings(epochs=1))
    sent = train.Stage(parameters, train.Parents(data, code=code))
    request = json.loads(json.dumps(sent.as_json()))
    named = {name: Artifact(**{**parent, "path": Path(parent["path"])}) for name, parent in request["parents"].items()}
    assert contracts.parse(request["stage"], request["parameters"], named) == (sent.parameters, sent.parents)


def test_the_version_of_a_model_is_in_the_key_of_one_that_has_changed() -> None:
    plain = train.Parameters("resnet18", 1.0, TrainSettings(epochs=1))
    changed = replace(plain, version=2)
    assert "version" not in plain.keyed()
    assert changed.keyed() == {**plain.keyed(), "version": 2}
    assert train.Parameters.from_json(changed.as_json()) == changed
    engine = NotingEngine()
    for model in ("resnet18", "efficientnet_lite0"):
        Steps(Configuration("digits", model), Settings(), engine).train(Artifact("data", "d", Path("d")))
    assert [stage.parameters.keyed().get("version") for stage in engine.stages] == [None, 2]
