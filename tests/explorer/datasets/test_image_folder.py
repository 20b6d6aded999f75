"""A labelled folder: its splits are kept, and those that it lacks are held back from training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from explorer.datasets import SPLITS
from explorer.datasets.image_folder import check
from tests import data_sets, torch_stages


def test_a_folder_keeps_its_splits_and_lacking_ones_are_held_back_from_training(tmp_path: Path) -> None:
    whole = data_sets.tree(tmp_path / "whole", {"train": 8, "val": 2, "test": 3})
    assert [torch_stages.image_folder(tmp_path / "a", whole).values[split] for split in SPLITS] == [24, 6, 9]
    no_test = data_sets.tree(tmp_path / "no test", {"train": 8, "val": 2})
    assert [torch_stages.image_folder(tmp_path / "b", no_test).values[split] for split in SPLITS] == [18, 6, 6]
    train_only = data_sets.tree(tmp_path / "train only", {"train": 16})
    artifact = torch_stages.image_folder(tmp_path / "c", train_only, validation=0.5)
    assert [artifact.values[split] for split in SPLITS] == [18, 18, 12]
    assert all(
        (np.bincount(images.labels) == len(images) / 3).all() for images in torch_stages.inputs_of(artifact).values()
    )


def test_a_folder_without_a_test_split_is_no_mistake(tmp_path: Path) -> None:
    root = data_sets.tree(tmp_path / "images", {"train": 3})
    assert check(str(root)) is None
    file = root / "train" / "emu" / "02.jpg"
    file.rename(tmp_path / "02.jpg")
    assert check(str(root)) == (
        f"{root}/train has 2 images of class 'emu'; it must have at least 3, since val and test images are held back "
        "of them"
    )
    (tmp_path / "02.jpg").rename(file)
    (root / "val" / "fox").mkdir(parents=True)
    assert check(str(root)) == f"{root}/val has no folder for class 'cat', which {root}/train has"
