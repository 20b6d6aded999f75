"""Studies of ONNX files: the network on the device knows what the model in PyTorch knew that it was exported from."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import explorer
from explorer.core.artifact import Artifact
from explorer.datasets import Options
from explorer.models import builder
from explorer.search import search
from explorer.space import space
from explorer.workspace.database.records import Record
from explorer.workspace.workspace import Workspace
from tests.explorer import spaces
from tests.studies import QUICK, SMALL, Events

MODEL = "onnx:nets/digits.onnx"
PARTS = ["none", "bfloat16", "int8", "weight_pruning"]
OTHER_PARTS = ["none", "float16", "int8", "weight_pruning"]


@pytest.mark.slow
def test_a_file_comes_down_the_line(trained_small: Artifact, tmp_path: Path) -> None:
    model = builder(SMALL)(1.0, 10, (1, 8, 8))
    model.load_state_dict(torch.load(trained_small.path / "weights.pt", weights_only=True))
    (tmp_path / "nets").mkdir()
    torch.onnx.export(
        model.eval(), (torch.zeros(1, 1, 8, 8),), tmp_path / "nets" / "digits.onnx", dynamo=True, verbose=False
    )
    axes = {"dataset": "digits", "model": MODEL, "compression": PARTS, "ratio": 0.8, "algorithm": "direct"}
    tables: dict[str, dict[str, Any]] = {
        "search": {"sampler": "grid"},
        "train": {"epochs": 0},
        "compress": {"epochs": 0},
        "measure": QUICK,
    }
    (tmp_path / "files.toml").write_text(spaces.render(axes, (), "files", **tables))
    events = Events()
    search.run(space.load(tmp_path / "files.toml"), Workspace(tmp_path / "w"), events)
    found = {events.configurations[number].compression: made for number, made in events.outcomes.items()}
    records = {name: made.values for name, made in found.items() if isinstance(made, Record)}
    assert set(records) == set(PARTS), found
    assert {"train", "compress"}.isdisjoint(events.stages)
    accuracy = trained_small.values["validation_accuracy"]
    assert records["none"]["accuracy"] == records["none"]["trained_accuracy"] == accuracy
    assert records["none"]["agreement"] == 1
    assert records["bfloat16"]["accuracy"] == pytest.approx(accuracy, abs=0.02)
    assert records["int8"]["accuracy"] == pytest.approx(accuracy, abs=0.02)
    assert records["weight_pruning"]["accuracy"] == records["weight_pruning"]["torch_accuracy"] < accuracy
    assert records["weight_pruning"]["removed_weights"] == pytest.approx(0.8, abs=1e-4)
    number = next(each for each, c in events.configurations.items() if c.compression == "weight_pruning")
    manifest = explorer.bundle(number, tmp_path / "bundle", tmp_path / "w")
    assert manifest.stack["model"] == MODEL


SHAPES = """
import numpy as np
from explorer.datasets import Held, Options, Splits, stratified

def load(options: Options) -> Splits:
    random = np.random.default_rng(options.seed)
    masks = np.kron(random.integers(0, 2, (160, 4, 4)), np.ones((2, 2), int)).astype(np.uint8)
    pixels = (random.normal(80, 70, (160, 8, 8)) + 100 * masks).clip(0, 255).astype(np.uint8)
    rest, test = stratified(Held(pixels[:, None], masks), options.test, options.seed)
    return Splits(*stratified(rest, options.validation, options.seed), test, ("dark", "bright"))

def wrong(predictions, targets):
    return (predictions.argmax(1) != targets).mean((1, 2))
"""


class Halved(nn.Module):
    """A network with a skip connection around its lower half, from images (N, 1, 8, 8) to (N, 2, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, 2, 1)
        self.norm, self.up, self.head = nn.BatchNorm2d(16), nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        high = self.high(images).relu()
        low = self.up(self.norm(self.low(high)).relu())
        logits: Tensor = self.head(torch.cat([high, low], 1))
        return logits


@pytest.mark.slow
def test_a_file_of_another_task_is_judged_by_the_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shapes.py").write_text(SHAPES)
    monkeypatch.syspath_prepend(tmp_path)
    shapes = importlib.import_module("shapes")
    splits = shapes.load(Options())
    train, validation = (
        torch.from_numpy(held.pixels(np.arange(len(held)))) / 255 for held in (splits.train, splits.validation)
    )
    mean, std = train.mean(), train.std(correction=0)
    torch.manual_seed(0)
    model = Halved()
    optimiser, masks = torch.optim.Adam(model.parameters(), 0.01), torch.from_numpy(splits.train.labels).long()
    for _ in range(60):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model((train - mean) / std), masks)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    outputs = model.eval()((validation - mean) / std).detach().numpy()
    expected = float(shapes.wrong(outputs, splits.validation.labels).mean())
    assert 0.01 < expected < 0.3, "guesses are wrong of half of the pixels"
    example = torch.zeros(1, 1, 8, 8)
    torch.onnx.export(model, (example,), tmp_path / "net.onnx", dynamo=True, verbose=False)
    axes = {
        "dataset": "shapes:load", "model": "onnx:net.onnx", "compression": OTHER_PARTS, "ratio": 0.6,
        "algorithm": "direct", "threads": 1,
    }  # fmt: skip
    tables: dict[str, dict[str, Any]] = {
        "search": {"sampler": "grid"},
        "evaluate": {"metric": "shapes:wrong", "direction": "minimize"},
        "compress": {"epochs": 0},
        "measure": QUICK,
    }
    (tmp_path / "space.toml").write_text(spaces.render(axes, (), "masks", **tables))
    events = Events()
    search.run(space.load(tmp_path / "space.toml"), Workspace(tmp_path / "w"), events)
    found = {events.configurations[number].compression: made for number, made in events.outcomes.items()}
    records = {name: made.values for name, made in found.items() if isinstance(made, Record)}
    assert set(records) == set(OTHER_PARTS), found
    assert records["none"]["wrong"] == pytest.approx(expected, abs=1e-6)
    assert records["none"]["agreement"] == 1
    for compression in ("float16", "int8"):
        assert records[compression]["wrong"] == pytest.approx(expected, abs=0.02)
    assert records["weight_pruning"]["removed_weights"] == pytest.approx(0.6, abs=1e-3)
    assert records["weight_pruning"]["wrong"] > expected
    number = next(each for each, c in events.configurations.items() if c.compression == "int8")
    assert explorer.bundle(number, tmp_path / "bundle", tmp_path / "w").stack["model"] == axes["model"]
    with explorer.open(tmp_path / "w") as study:
        assert study.best(metric_bound=expected + 0.02).stack is not None
