"""What initial weights ask of images, where the settings and the data set leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from explorer.inputs import external, wanted_images
from explorer.space.space import Space, load
from explorer.space.toml import space_file
from explorer.workspace.workspace import Workspace
from tests import data_sets
from tests.explorer import spaces

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def space(folder: Path, model: str, weights: str, dataset: str = "image_folder", data: str = "") -> Space:
    path = spaces.write(folder, {"dataset": dataset, "model": model, "width": 1})
    data = f'[data]\nimage_folder = "{folder}/images"\n{data}\n'
    path.write_text(f'{path.read_text()}{data}[train]\nweights = "{weights}"\n')
    return load(path, space_file.BUNDLED / space_file.DEVICES_FILE)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "w").mkdir()
    return Workspace(tmp_path / "w")


@pytest.mark.parametrize(
    ("dataset", "data", "expected"),
    [
        ("image_folder", "", {**IMAGENET, "crop": 0.9655, "interpolation": "bilinear"}),
        ("image_folder", 'normalise = "half"', {"crop": 0.9655, "interpolation": "bilinear"}),
        ("image_folder", "resize = 256\nmean = 0.5\nstd = 0.5", {"interpolation": "bilinear"}),
        ("cifar10", "", IMAGENET),
        ("cifar10", 'normalise = "dataset"', None),
    ],
)
def test_pretrained_weights_ask_for_what_is_left_open(
    dataset: str, data: str, expected: Mapping[str, Any] | None, tmp_path: Path, workspace: Workspace
) -> None:
    asked = space(tmp_path, "resnet50", "pretrained", dataset, data)
    start = (dataset, "resnet50", 1.0)
    found = wanted_images.find(asked, {start: Artifact("weights", "w", Path())}, workspace)
    assert (found[start].values if found else None) == expected


def test_a_librarys_weights_ask_for_its_configuration_and_its_version_is_in_the_key(
    tmp_path: Path, workspace: Workspace
) -> None:
    data_sets.tree(tmp_path / "images")
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    model = "timm:tf_efficientnet_lite0"
    found = external.find(space(tmp_path, model, f"{tmp_path}/a.pt"), workspace)
    parents = found.parents(Configuration("image_folder", model))
    assert parents["data"]["wanted"].values == {
        "mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 224, "crop": 0.875, "interpolation": "bicubic"
    }  # fmt: skip
    assert parents["train"][f"library of {model}"].stage == "library"
    plain = external.find(space(tmp_path, "resnet50", f"{tmp_path}/a.pt"), workspace)
    assert "wanted" not in plain.parents(Configuration("image_folder", "resnet50"))["data"]


def test_what_cannot_be_is_said_before_a_study_begins(tmp_path: Path, workspace: Workspace) -> None:
    data_sets.tree(tmp_path / "images")
    unknown = space(tmp_path, "timm:mobilnetv3_small_100", "")
    with pytest.raises(SpaceError, match=r"unknown model 'timm:mobilnetv3_small_100'.*'timm:mobilenetv3_small_100'"):
        external.check(unknown, external.find(unknown, workspace), workspace)
    odd = space(tmp_path, "resnet18", "", data="resize = 100")
    with pytest.raises(SpaceError, match=r"data set image_folder: \[data\] resize = 100 leaves no square"):
        external.check(odd, external.find(odd, workspace), workspace)
