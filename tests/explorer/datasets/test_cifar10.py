"""CIFAR-10: the images of its files, and a failure where the files are not the published ones."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from explorer.core.errors import StageFailed
from explorer.datasets import Options
from explorer.datasets.cifar10 import load
from tests import data_sets, torch_stages


def test_files_that_are_not_those_of_cifar10_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = data_sets.cifar10(tmp_path, monkeypatch)
    (root / "test_batch").write_bytes(b"damaged")
    with pytest.raises(StageFailed, match="are not those of CIFAR-10"):
        torch_stages.data(tmp_path / "out", "cifar10", root)


def test_images_are_those_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of a file holds an image plane by plane."""
    root = data_sets.cifar10(tmp_path, monkeypatch)
    splits = load(Options(root=root))
    rows = pickle.loads((root / "test_batch").read_bytes())["data"]
    np.testing.assert_array_equal(splits.test.pixels(np.array([3]))[0], rows[3].reshape(3, 32, 32))
    assert splits.classes[0] == "class 0"
    assert (len(splits.train), len(splits.validation)) == (80, 20)
