"""Images as networks take them: normalised by the training images, mapped, and found again where they move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.datasets import Held, Splits
from explorer.line.prepared import Inputs, Prepared, save
from tests import data_sets, torch_stages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return data_sets.tree(tmp_path / "images")


def test_training_images_have_mean_0_and_standard_deviation_1(digits: Artifact) -> None:
    train = Prepared.load(digits).train
    assert train[:].dtype == np.float32
    assert train.labels.dtype == np.int64
    assert train[:].mean() == pytest.approx(0, abs=1e-5)
    assert train[:].std() == pytest.approx(1, abs=1e-5)
    assert (digits.values["classes"], digits.values["shape"]) == (10, [1, 8, 8])
    assert digits.values["class_names"] == list("0123456789")


def test_arrays_are_mapped_and_not_read(digits: Artifact) -> None:
    images = Prepared.load(digits).train.images
    assert isinstance(images, Held)
    assert isinstance(images.array, np.memmap)
    assert images.array.dtype == np.uint8


def test_a_channel_without_contrast_stays_finite(tmp_path: Path) -> None:
    artifact = torch_stages.data(tmp_path, "tests.custom_plugins:one_channel_black")
    assert np.isfinite(Prepared.load(artifact).train[:]).all()


def test_a_folder_is_normalised_by_its_training_images(tmp_path: Path, root: Path) -> None:
    artifact = torch_stages.image_folder(tmp_path / "out", root)
    train = Prepared.load(artifact).train
    assert artifact.values["class_names"] == ["cat", "dog", "emu"]
    assert "note" not in artifact.values
    assert train[:].shape == (len(train), 3, 16, 16)
    np.testing.assert_allclose(train[:].mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(train[:].std((0, 2, 3)), 1, atol=1e-5)
    brightness = [train[:][train.labels == label].mean() for label in range(3)]
    assert brightness == sorted(brightness)


def test_a_folder_may_move(tmp_path: Path, root: Path) -> None:
    artifact = torch_stages.image_folder(tmp_path / "out", root)
    before = Prepared.load(artifact).test[:]
    moved = root.rename(tmp_path / "elsewhere")
    there: Artifact = Artifact("data", "data", artifact.path, {**artifact.values, "root": str(moved)})
    np.testing.assert_array_equal(Prepared.load(there).test[:], before)
    with pytest.raises(StageFailed, match="was an image when the data set was read"):
        Prepared.load(artifact).test[:]


def test_pixels_become_what_mean_and_deviation_say() -> None:
    pixels = np.array([[[[0, 51], [102, 255]]]], np.uint8)
    images = Inputs(Held(pixels, np.zeros(1, np.int64)), np.array([0.2]), np.array([0.4]))
    np.testing.assert_allclose(images[:], [[[[-0.5, 0], [0.5, 2]]]], atol=1e-6)
    assert images[1:].shape == (0, 1, 2, 2)


def test_the_digest_is_of_pixels_and_labels(tmp_path: Path) -> None:
    pixels, labels = np.arange(16, dtype=np.uint8).reshape(4, 1, 2, 2), np.array([0, 1, 0, 1])
    images = Held(pixels, labels)
    others = (images, Held(pixels + 1, labels), Held(pixels, 1 - labels))
    assert len({save(Splits(images, images, own, ("a", "b")), tmp_path)["digest"] for own in others}) == 3
