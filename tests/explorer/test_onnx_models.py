"""A study of an ONNX file: its network on the device knows what the model in PyTorch knew that it was exported from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import explorer
from explorer.core.artifact import Artifact
from explorer.models import builder
from explorer.search import search
from explorer.space import space
from explorer.workspace.records import Record
from explorer.workspace.workspace import Workspace
from tests.explorer import spaces
from tests.studies import QUICK, Events

MODEL = "onnx:nets/digits.onnx"
PARTS = ["none", "bfloat16", "int8", "weight_pruning"]


@pytest.mark.slow
def test_a_file_comes_down_the_line(trained: Artifact, tmp_path: Path) -> None:
    model = builder("resnet18")(0.125, 10, (1, 8, 8))
    model.load_state_dict(torch.load(trained.path / "weights.pt", weights_only=True))
    (tmp_path / "nets").mkdir()
    torch.onnx.export(
        model.eval(), (torch.zeros(1, 1, 8, 8),), tmp_path / "nets" / "digits.onnx", dynamo=True, verbose=False
    )
    axes = {"dataset": "digits", "model": MODEL, "compression": PARTS, "ratio": 0.5, "algorithm": "direct"}
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
    accuracy = trained.values["validation_accuracy"]
    assert records["none"]["accuracy"] == records["none"]["trained_accuracy"] == accuracy
    assert records["none"]["agreement"] == 1
    assert records["bfloat16"]["accuracy"] == pytest.approx(accuracy, abs=0.02)
    assert records["int8"]["accuracy"] == pytest.approx(accuracy, abs=0.02)
    assert records["weight_pruning"]["accuracy"] == records["weight_pruning"]["torch_accuracy"] < accuracy
    assert records["weight_pruning"]["removed_weights"] == pytest.approx(0.5, abs=1e-4)
    number = next(each for each, c in events.configurations.items() if c.compression == "weight_pruning")
    manifest = explorer.bundle(number, tmp_path / "bundle", tmp_path / "w")
    assert manifest.stack["model"] == MODEL
