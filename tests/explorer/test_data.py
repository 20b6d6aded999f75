from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from explorer.datasets import SPLITS, Images, Splits, stratified
from explorer.errors import ExplorerError
from explorer.store import Artifact
from tests import torch_stages


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return torch_stages.data(tmp_path_factory.mktemp("digits"))


def splits_of(artifact: Artifact) -> Splits:
    return Splits.load(artifact.path / "images.npz")


def test_every_digit_lies_in_exactly_one_split(artifact: Artifact) -> None:
    splits = splits_of(artifact)
    mean, std = artifact.values["mean"][0], artifact.values["std"][0]
    restored = np.concatenate([getattr(splits, name).pixels for name in SPLITS]) * std + mean
    images = np.rint(restored[:, 0] * 16)
    assert sorted(map(tuple, images.reshape(-1, 64))) == sorted(map(tuple, load_digits().images.reshape(-1, 64)))


def test_splits_have_the_shares_asked_for_in_every_class(artifact: Artifact) -> None:
    splits = splits_of(artifact)
    counts = [np.bincount(getattr(splits, name).labels, minlength=10) for name in SPLITS]
    shares = counts / np.sum(counts, axis=0)
    np.testing.assert_allclose(shares, np.array([[0.6], [0.15], [0.25]]) * np.ones(10), atol=0.01)
    assert [len(getattr(splits, name)) for name in SPLITS] == [artifact.values[name] for name in SPLITS]


def test_training_images_have_mean_0_and_standard_deviation_1(artifact: Artifact) -> None:
    splits = splits_of(artifact)
    assert splits.train.pixels.dtype == np.float32
    assert splits.train.labels.dtype == np.int64
    assert splits.train.pixels.mean() == pytest.approx(0, abs=1e-5)
    assert splits.train.pixels.std() == pytest.approx(1, abs=1e-5)
    assert (artifact.values["classes"], artifact.values["shape"]) == (10, [1, 8, 8])


def test_the_seed_alone_decides_the_split(artifact: Artifact, tmp_path: Path) -> None:
    again, other = torch_stages.data(tmp_path / "0"), torch_stages.data(tmp_path / "1", seed=1)
    assert again.values == artifact.values
    assert (again.path / "images.npz").read_bytes() == (artifact.path / "images.npz").read_bytes()
    assert other.values["digest"] != artifact.values["digest"]


def test_a_data_set_of_the_users_own(tmp_path: Path) -> None:
    artifact = torch_stages.data(tmp_path, "tests.custom_plugins:stripes", test=0.5, validation=0.4)
    assert [artifact.values[name] for name in SPLITS] == [60, 40, 100]
    assert (artifact.values["classes"], artifact.values["shape"]) == (2, [2, 12, 10])
    np.testing.assert_allclose(splits_of(artifact).train.pixels.mean((0, 2, 3)), 0, atol=1e-5)


def test_a_channel_without_contrast_stays_finite(tmp_path: Path) -> None:
    artifact = torch_stages.data(tmp_path, "tests.custom_plugins:one_channel_black")
    assert np.isfinite(splits_of(artifact).train.pixels).all()


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="class"):
        stratified(Images(np.zeros((5, 1, 2, 2), np.float32), np.array([0, 0, 0, 0, 1])), 0.4, 0)


def test_an_unknown_data_set_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="did you mean 'digits'"):
        torch_stages.data(tmp_path, "digit")
