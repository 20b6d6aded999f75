"""Keys of stages: canonical, typed, and sensitive to exactly what changes a result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import canonical, digest
from explorer.core.settings import TrainSettings
from explorer.line import contracts
from explorer.line.contracts import train, tune
from explorer.line.contracts.on_device import Address
from explorer.line.stage import library_version

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def stage(parent_key: str = "a", width: float = 0.5, epochs: int = 1) -> train.Stage:
    parameters = train.Parameters("resnet18", width, TrainSettings(epochs=epochs))
    return train.Stage(parameters, train.Parents(Artifact("data", parent_key, Path("anywhere"))))


def test_canonical_json_is_fixed_for_good() -> None:
    value = {"b": [1, 1.0, True, None, "1"], "a": {}}
    expected = (
        '{"dict":{"a":{"dict":{}},"b":[{"int":1},{"float":"0x1.0000000000000p+0"},{"bool":true},null,{"str":"1"}]}}'
    )
    assert canonical(value) == expected


@given(VALUES)
def test_order_of_keys_is_irrelevant(value: Any) -> None:
    assert canonical({"x": 1, "y": value}) == canonical({"y": value, "x": 1})


@given(SCALARS, SCALARS)
def test_equal_digests_mean_equal_values_and_types(left: Any, right: Any) -> None:
    same = type(left) is type(right) and repr(left) == repr(right)
    assert (digest(left) == digest(right)) == same


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="no canonical JSON"):
        canonical({"path": Path("x")})
    with pytest.raises(TypeError):
        canonical({1: "x"})


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


@pytest.mark.parametrize("name", plugins.names("stage"))
def test_every_stage_states_its_version_and_worker(name: str) -> None:
    assert isinstance(plugins.literal("stage", name, "VERSION"), int)
    assert plugins.literal("stage", name, "WORKER") in ("torch", "tvm")
    assert plugins.defines("stage", name, "run")
    assert getattr(contracts, name).Stage.name == name
