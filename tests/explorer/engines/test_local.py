"""Which trainings have all cores, and that they have them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.settings import DataSettings, Settings, TrainSettings
from explorer.engines import _stages, local
from explorer.engines._devices import Surroundings
from explorer.inputs.external import Origins
from explorer.line import contracts, dry_run, trial
from explorer.line.stage import A, P, Stage
from explorer.workspace.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies


def test_only_what_trains_for_long_has_all_cores() -> None:
    def training(images: int, side: int, epochs: int) -> Stage:
        data: Artifact = Artifact("data", "key", Path(), {"train": images, "shape": [3, side, side]})
        parameters = contracts.train.Parameters("resnet18", 1.0, TrainSettings(epochs=epochs, weights="file"))
        return contracts.train.Stage(parameters, contracts.train.Parents(data))

    assert not _stages._trains_long(training(1078, 8, 15)), "the digits of the quickstart"
    assert _stages._trains_long(training(40_000, 32, 15))
    assert _stages._trains_long(training(2_000, 224, 4))
    assert not _stages._trains_long(training(40_000, 32, 0))
    parents = contracts.data.Parents(Artifact("source", "key", Path()))
    assert not _stages._trains_long(contracts.data.Stage(contracts.data.Parameters("digits", DataSettings()), parents))


def test_a_network_that_is_not_fine_tuned_leaves_the_cores_to_others() -> None:
    """Its images are only evaluated, however many they are."""
    asked: list[Stage] = []

    class Engine(dry_run.CountingEngine):
        def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
            asked.append(stage)
            made = super().run(stage, equivalent)
            if stage.name != "data":
                return made
            return replace(made, values=cast(V, {"train": 40_000, "shape": [3, 32, 32]}))

    for compression in ("none", "float16", "channel_pruning"):
        ratio, multiple = (0.5, 8) if compression == "channel_pruning" else (None, None)
        network = Configuration(
            "cifar10", "resnet18", compression=compression, ratio=ratio, channel_multiple=multiple, device="local"
        )
        trial.run(network, Settings(), Engine({}))
    long = [stage.parameters.as_json().get("compression", "train") for stage in asked if _stages._trains_long(stage)]
    assert long == ["train", "train", "train", "channel_pruning"]


class Workers(studies.Events):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.told: list[str] = []

    def started(self, worker: str, stage: str) -> None:
        self.names.append(worker)

    def advanced(self, worker: str, done: int, total: int, text: str) -> None:
        self.told.append(text)


def test_a_long_training_runs_on_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stages, "LONG_TRAINING", 1)
    workspace = Workspace(tmp_path)
    store, events = Store(workspace.artifacts), Workers()
    engine = local.LocalEngine(
        Surroundings(store, Records(workspace.url), workspace.logs, Origins({}, {}, {}), {}, 1, events)
    )
    try:
        source = Artifact("source", "source", tmp_path)
        images = contracts.data.Parameters("digits", DataSettings())
        data = engine.run(contracts.data.Stage(images, contracts.data.Parents(source)))
        model = contracts.train.Parameters("mobilenetv1", 0.25, TrainSettings(epochs=1))
        trained = engine.run(contracts.train.Stage(model, contracts.train.Parents(data)))
    finally:
        engine.stop()
    assert events.names == ["torch 1", _stages.ALONE]
    assert events.told[0].startswith("epoch 1 of 1, loss ")
    assert trained.values["threads"] == os.cpu_count()
