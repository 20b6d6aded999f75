"""A study with int8_mixed to its end: its accuracy, its layers and what it shares with the stacks around it."""

from __future__ import annotations

from pathlib import Path

import pytest

import explorer
from tests import studies
from tests.explorer.spaces import render


@pytest.mark.slow
def test_a_study_mixes_dtypes_as_far_as_its_accuracy_allows(tmp_path: Path) -> None:
    axes = {
        "dataset": "digits", "model": studies.SMALL, "compression": ["none", "int8_mixed"],
        "max_drop": 0.01, "algorithm": "direct",
    }  # fmt: skip
    space = tmp_path / "mixed.toml"
    space.write_text(render(axes, train={"epochs": 1}, quantize={"calibration": "mse"}, measure=studies.QUICK))
    explorer.grid(space, tmp_path / "ws")
    with explorer.open(tmp_path / "ws") as study:
        assert (study.frame["state"] == "complete").all()
        whole, mixed = (study.frame[study.frame["compression"] == name].iloc[0] for name in ("none", "int8_mixed"))
        assert mixed["accuracy"] >= whole["accuracy"] - 0.01 - 1e-9
        assert mixed["train_key"] == whole["train_key"]
        assert mixed["weight_bytes"] < whole["weight_bytes"]
        assert "int8" in {layer["dtype"] for layer in study.layers(int(mixed["number"]))}
