"""A network of timm's, by its name there, down the whole line."""

from __future__ import annotations

from pathlib import Path

import pytest

import explorer
from tests.studies import SHORT_MEASURING

SPACE = f"""
[axes]
dataset = "digits"
model = "timm:test_efficientnet"
compression = ["none", "weight_pruning", "int8"]
ratio = 0.5

[data]
resize = 32

[train]
epochs = 5

[compress]
epochs = 1
{SHORT_MEASURING}"""


@pytest.mark.slow
def test_it_trains_compresses_compiles_and_classifies_as_any_model(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE)
    explorer.run(tmp_path / "space.toml", tmp_path / "workspace")
    rows = explorer.frame(tmp_path / "workspace").set_index("compression")
    assert {*rows["state"]} == {"complete"}, rows["failure"].tolist()
    assert min(rows["accuracy"]) > 0.15, "of which chance makes 0.1"
    assert rows["agreement"].to_dict()["none"] > 0.999
    assert rows["removed_weights"].to_dict()["weight_pruning"] == pytest.approx(0.5, abs=0.01)
    sizes = rows["size_bytes"].to_dict()
    assert sizes["int8"] < sizes["none"]
