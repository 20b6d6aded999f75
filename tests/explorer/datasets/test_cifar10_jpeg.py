"""CIFAR-10 as JPEG files: in memory, with the statistics of the original, and good enough to train on."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from explorer.datasets import Held, Options
from explorer.datasets.cifar10_jpeg import check, load
from tests import ROOT, data_sets, torch_stages

CIFAR10_JPEG = ROOT.parent / "shared" / "data" / "cifar10-jpeg.tar.xz"


@pytest.mark.skipif(not CIFAR10_JPEG.exists(), reason=f"no CIFAR-10 as JPEG files at {CIFAR10_JPEG}")
def test_some_of_cifar10_down_to_a_trained_network(tmp_path: Path) -> None:
    some = re.compile(r"train/\w+/0..[03]\.jpg|test/\w+/00[01][03]\.jpg")
    with tarfile.open(CIFAR10_JPEG) as packed:
        for member in packed:  # unpacked as it is met: going back unpacks all before it again
            if some.fullmatch(member.name):
                packed.extract(member, tmp_path / "images", filter="data")
    artifact = torch_stages.data(tmp_path, "cifar10_jpeg", tmp_path / "images")
    assert (artifact.values["classes"], artifact.values["shape"]) == (10, [3, 32, 32])
    assert artifact.values["mean"] == pytest.approx([0.491, 0.482, 0.447], abs=0.02)
    trained = torch_stages.train(tmp_path, artifact, epochs=2)
    assert trained.values["validation_accuracy"] > 0.2


def test_images_are_held_in_memory_at_32_px_and_the_test_images_are_the_authors(tmp_path: Path) -> None:
    root = data_sets.tree(tmp_path / "images")
    splits = load(Options(root=root))
    assert all(isinstance(images, Held) for images in (splits.train, splits.validation, splits.test))
    assert splits.train.shape == (3, 32, 32)
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (24, 12)


def test_a_lacking_test_split_is_said_before_anything_is_read(tmp_path: Path) -> None:
    assert check(str(data_sets.tree(tmp_path / "whole"))) is None
    root = data_sets.tree(tmp_path / "images", {"train": 1})
    assert check(str(root)) == f"{root}/test has no folder for class 'cat', which {root}/train has"
