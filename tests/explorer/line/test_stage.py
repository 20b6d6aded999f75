"""Keys of stages: sensitive to exactly what changes a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.settings import TrainSettings
from explorer.line.contracts import train
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
