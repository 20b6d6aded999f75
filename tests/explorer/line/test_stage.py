"""Keys of stages: sensitive to exactly what changes a result; requests: read as they were sent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.settings import TrainSettings
from explorer.line import contracts
from explorer.line.contracts import train, tune
from explorer.line.contracts.on_device import Address
from explorer.line.stage import library_version


def stage(parent_key: str = "a", width: float = 0.5, epochs: int = 1) -> train.Stage:
    parameters = train.Parameters("resnet18", width, TrainSettings(epochs=epochs))
    return train.Stage(parameters, train.Parents(Artifact("data", parent_key, Path("anywhere"))))


def test_the_key_follows_parameters_and_parents() -> None:
    keys = {stage().key, stage(width=1).key, stage(width=1.0).key, stage(epochs=2).key, stage("b").key}
    assert len(keys) == 5


def test_the_key_ignores_where_a_parent_lies() -> None:
    data: Artifact = Artifact("data", "a", Path("elsewhere"), {"n": 1}, 3.0)
    assert train.Stage(stage().parameters, train.Parents(data)).key == stage().key


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
    sent = train.Stage(stage(width=1).parameters, replace(stage().parents, code=code))
    request = json.loads(json.dumps(sent.as_json()))
    named = {name: Artifact(**{**parent, "path": Path(parent["path"])}) for name, parent in request["parents"].items()}
    parameters, parents = contracts.parse(request["stage"], request["parameters"], named)
    assert (parameters, parents) == (sent.parameters, sent.parents)


def test_the_key_follows_version_and_library(monkeypatch: pytest.MonkeyPatch) -> None:
    before = stage().key
    literal = plugins.literal
    with monkeypatch.context() as patch:
        patch.setattr(
            plugins,
            "literal",
            lambda kind, name, constant, default=None: (
                99 if constant == "VERSION" else literal(kind, name, constant, default)
            ),
        )
        assert stage().key != before
    assert library_version("torch").startswith("torch ")
    assert library_version("tvm").startswith("apache-tvm ")
