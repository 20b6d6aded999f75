"""Parameters and parents as JSON: a worker reads what was sent, and execution adds nothing to a key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from explorer.core.artifact import Artifact
from explorer.core.settings import TrainSettings
from explorer.line import contracts
from explorer.line.contracts import train, tune
from explorer.line.contracts.on_device import Address


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
