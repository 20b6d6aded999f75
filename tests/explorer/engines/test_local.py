"""Which trainings have all cores, and that they have them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.settings import DataSettings, Settings, TrainSettings
from explorer.engines import _stages, local
from explorer.engines._devices import Surroundings
from explorer.inputs.external import Origins
from explorer.line import dry_run, trial
from explorer.line.stage import Stage
from explorer.workspace.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies


def test_only_what_trains_for_long_has_all_cores() -> None:
    def training(images: int, side: int, epochs: int) -> Stage:
        values = {"train": images, "shape": [3, side, side]}
        return Stage("train", {"epochs": epochs}, {"data": Artifact("data", "key", Path(), values)})

    assert not _stages._trains_long(training(1078, 8, 15)), "the digits of the quickstart"
    assert _stages._trains_long(training(40_000, 32, 15))
    assert _stages._trains_long(training(2_000, 224, 4))
    assert not _stages._trains_long(training(40_000, 32, 0))
    assert not _stages._trains_long(Stage("data", {}, {}))


def test_a_network_that_is_not_fine_tuned_leaves_the_cores_to_others() -> None:
    """Its images are only evaluated, however many they are."""
    asked: list[Stage] = []

    class Engine(dry_run.CountingEngine):
        def run(self, stage: Stage, equivalent: Callable[[], Mapping[str, Artifact]] | None = None) -> Artifact:
            asked.append(stage)
            made = super().run(stage, equivalent)
            values = {"train": 40_000, "shape": [3, 32, 32]} if stage.name == "data" else made.values
            return replace(made, values=values)

    for compression in ("none", "float16", "channel_pruning"):
        ratio, multiple = (0.5, 8) if compression == "channel_pruning" else (None, None)
        network = Configuration(
            "cifar10", "resnet18", compression=compression, ratio=ratio, channel_multiple=multiple, device="local"
        )
        trial.run(network, Settings(), Engine({}))
    long = [stage.parameters.get("compression", "train") for stage in asked if _stages._trains_long(stage)]
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
        data = engine.run(Stage("data", {"dataset": "digits", **DataSettings().model_dump()}, {"source": source}))
        settings = TrainSettings(epochs=1).model_dump()
        model = {"model": "mobilenetv1", "width": 0.25}
        trained = engine.run(Stage("train", {**model, **settings}, {"data": data}))
    finally:
        engine.stop()
    assert events.names == ["torch 1", _stages.ALONE]
    assert events.told[0].startswith("epoch 1 of 1, loss ")
    assert trained.values["threads"] == os.cpu_count()
