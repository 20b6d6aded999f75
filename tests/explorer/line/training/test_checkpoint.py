"""Trainings that are cut off go on after the last epoch kept, and end with the weights of an undisturbed one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from explorer.core.errors import StageFailed
from explorer.line.execution import Execution, executing
from explorer.line.prepared import Inputs, Prepared
from explorer.line.training import checkpoint, training
from explorer.line.training.recipe import Recipe
from explorer.processes.pool import Worker
from tests import torch_stages

RECIPE = Recipe(epochs=4, batch_size=64, learning_rate=0.1, weight_decay=5e-4, seed=0, label_smoothing=0.1)
EPOCHS = 4

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Prepared.load(torch_stages.data(tmp_path_factory.mktemp("digits"))).train


@pytest.fixture(autouse=True)
def _every_epoch_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "KEEP_SECONDS", 0.0)


class Cut(KeyboardInterrupt):
    pass


def trained(images: Inputs, scratch: Path | None, cut: int | None = None, words: list[Any] | None = None) -> Weights:
    """Train twice, as a stage that fine-tunes in two steps, and die in the forward pass number `cut`."""
    training.make_reproducible(0)
    features = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2))
    model = nn.Sequential(features, nn.Linear(288, 10))
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1
        if passes == cut:
            raise Cut

    model.register_forward_pre_hook(count)
    with executing(Execution(scratch, [].append if words is None else words.append)):
        training.fit("train", model, images, RECIPE)
        training.fit("train", model, images, RECIPE, epochs=2)
    return model.state_dict()


def equal(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("cut", [30, 90])  # in the second epoch of the first training, and in the second training
def test_a_training_that_was_cut_off_ends_with_the_same_weights(cut: int, images: Inputs, tmp_path: Path) -> None:
    undisturbed = trained(images, None)
    with pytest.raises(Cut):
        trained(images, tmp_path / "scratch", cut)
    words: list[Any] = []
    assert equal(trained(images, tmp_path / "scratch", None, words), undisturbed)
    assert words[0]["progress"]["done"] > len(images) // RECIPE.batch_size, "it went on after the first epoch"


def test_what_is_damaged_or_of_another_training_is_left_alone(images: Inputs, tmp_path: Path) -> None:
    undisturbed = trained(images, None)
    with pytest.raises(Cut):
        trained(images, tmp_path, 30)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    words: list[Mapping[str, Any]] = []
    assert equal(trained(images, tmp_path, None, words), undisturbed)
    assert "does not match its digest" in words[0]["note"]

    state = checkpoint.load(file)
    state["identity"]["epochs"] += 1
    checkpoint.save(file, state)
    words.clear()
    assert equal(trained(images, tmp_path, None, words), undisturbed)
    assert "of another training" in words[0]["note"]


def train_stage(folder: str, out: str) -> float:
    """Train on the digits in a worker, which keeps every epoch."""
    training.KEEP_SECONDS = 0.0
    data = torch_stages.data(Path(folder))
    settings: dict[str, Any] = {"epochs": EPOCHS, "learning_rate": 0.1}
    return float(torch_stages.train(Path(out), data, "resnet18", 0.125, **settings).values["validation_accuracy"])


def test_a_killed_worker_goes_on_where_it_was(tmp_path: Path) -> None:
    worker = Worker("torch", "torch 1", tmp_path / "torch-1.log", threads=1)
    scratch = tmp_path / "scratch"
    heard: list[Mapping[str, Any]] = []

    def request(out: str) -> Weights:
        arguments = {"folder": str(tmp_path / "digits"), "out": str(tmp_path / out)}
        call = {"call": f"{__name__}:train_stage", "arguments": arguments}
        worker.request({**call, "scratch": str(scratch / out)}, hear=heard.append)
        return torch.load(tmp_path / out / "train" / "weights.pt", weights_only=True)  # type: ignore[no-any-return]

    def kill() -> None:
        while not list((scratch / "cut").glob("*.pt")):
            time.sleep(0.01)
        assert worker._process
        os.kill(worker._process.pid, signal.SIGKILL)

    try:
        undisturbed = request("undisturbed")
        assert heard[0]["progress"]["done"] == 1
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(StageFailed, match="SIGKILL"):
            request("cut")
        killer.join()
        heard.clear()
        assert equal(request("cut"), undisturbed)
        assert heard[0]["progress"]["done"] > heard[0]["progress"]["total"] // EPOCHS
    finally:
        worker.stop()
