"""Keys of stages: canonical, typed, and sensitive to exactly what changes a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import canonical, digest
from explorer.line.stage import Stage, library_version

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def stage(parent_key: str = "a", **parameters: Any) -> Stage:
    return Stage("train", parameters, {"data": Artifact("data", parent_key, Path("anywhere"))})


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
    keys = {stage().key, stage(epochs=1).key, stage(epochs=1.0).key, stage(epochs=2).key, stage("b", epochs=1).key}
    assert len(keys) == 5


def test_the_key_ignores_where_a_parent_lies() -> None:
    moved = Stage("train", {"epochs": 1}, {"data": Artifact("data", "a", Path("elsewhere"), {"n": 1}, 3.0)})
    assert moved.key == stage(epochs=1).key


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
