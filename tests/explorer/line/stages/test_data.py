"""Data sets, split and written: decided by the seed alone, labelled after corrupt files are left out, streamed."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.settings import DataSettings
from explorer.datasets import SPLITS
from explorer.datasets._geometry import Geometry
from explorer.datasets._normalisation import IMAGENET
from explorer.line.prepared import Prepared
from explorer.line.training import predictions, training
from explorer.line.training.recipe import Recipe
from tests import data_sets, torch_stages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return data_sets.tree(tmp_path / "images")


def test_the_seed_alone_decides_the_split(digits: Artifact, tmp_path: Path) -> None:
    again, other = torch_stages.data(tmp_path / "0"), torch_stages.data(tmp_path / "1", seed=1)
    assert again.values == digits.values
    for file in digits.path.iterdir():
        assert (again.path / file.name).read_bytes() == file.read_bytes()
    assert other.values["digest"] != digits.values["digest"]


def test_a_data_set_of_the_users_own(tmp_path: Path) -> None:
    artifact = torch_stages.data(tmp_path, "tests.custom_plugins:stripes", test=0.5, validation=0.4)
    assert [artifact.values[name] for name in SPLITS] == [60, 40, 100]
    assert (artifact.values["classes"], artifact.values["shape"]) == (2, [2, 12, 10])
    np.testing.assert_allclose(Prepared.load(artifact).train[:].mean((0, 2, 3)), 0, atol=1e-5)


def test_a_split_without_a_class_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="has no test image of class 'vertical'") as failed:
        torch_stages.data(tmp_path, "tests.custom_plugins:horizontal_tests")
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("data", "unusable")


def test_images_are_varied_as_the_data_set_says_or_the_setting(tmp_path: Path, root: Path) -> None:
    def varied(out: str, **settings: object) -> object:
        return torch_stages.data(tmp_path / out, "image_folder", root, image_size=16, **settings).values["augment"]

    assert varied("own") == ["resized_crop", "flip"]
    assert varied("none", augment="none") == []
    assert varied("one", augment="flip") == ["flip"]
    assert varied("two", augment=["shift", "flip"]) == ["shift", "flip"]


@pytest.mark.parametrize("name", ["cifar10_jpeg", "image_folder"])
def test_corrupt_images_are_named_counted_and_left_out(name: str, tmp_path: Path, root: Path) -> None:
    whole = (root / "train" / "dog" / "00.jpg").read_bytes()
    (root / "train" / "dog" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "train" / "dog" / "01.jpg").write_bytes(b"")
    (root / "test" / "emu" / "02.jpg").write_text("no image")
    (root / "test" / "emu" / "notes.txt").write_text("not even by name")
    artifact = torch_stages.data(tmp_path / "out", name, root, image_size=16)
    values = artifact.values
    assert values["corrupt"] == 3
    assert values["note"] == (
        f"3 of 36 files of data set {name} are no images that can be read and are left out: "
        "train/dog/00.jpg, train/dog/01.jpg, test/emu/02.jpg; "
        f"data set {name} does not use files with endings of no image: 1 (test/emu/notes.txt)"
    )
    assert values["left_out"] == ["files with endings of no image: 1 (test/emu/notes.txt)"]
    assert values["corrupt_names"] == ["train/dog/00.jpg", "train/dog/01.jpg", "test/emu/02.jpg"]
    assert values["train"] + values["validation"] == 24 - 2
    assert values["test"] == 12 - 1
    test = Prepared.load(artifact).test
    brightness = [test[:][test.labels == label].mean() for label in range(3)]
    assert brightness == sorted(brightness), "labels are still those of the images"


def test_a_network_trains_on_images_in_files_and_the_seed_decides_it(tmp_path: Path, root: Path) -> None:
    def weights(out: str, seed: int) -> dict[str, torch.Tensor]:
        recipe: dict[str, Any] = {"epochs": 8, "batch_size": 9, "seed": seed}
        trained = torch_stages.train(tmp_path / out, images, "tests.custom_plugins:branching", 0.5, **recipe)
        assert trained.values["validation_accuracy"] > 0.6
        state: dict[str, torch.Tensor] = torch.load(trained.path / "weights.pt", weights_only=True)
        return state

    images = torch_stages.image_folder(tmp_path / "out", root)
    first, second, other = weights("a", 0), weights("b", 0), weights("c", 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_no_more_than_a_few_batches_of_a_folder_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "BATCH_PIXELS", 1 << 17)  # batches of 8, in proportion to this few images
    root = data_sets.tree(tmp_path / "images", {"train": 120, "val": 20, "test": 20})
    size, count = 128, 3 * 160
    whole = count * 3 * size * size
    model = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(48, 3))
    tracemalloc.start()  # NumPy tells it of arrays
    try:
        artifact = torch_stages.data(tmp_path / "out", "image_folder", root, image_size=size)
        train = Prepared.load(artifact).train
        training.fit("train", model, train, Recipe(1, 8, 0.1, 0.0, 0))
        predictions.accuracy(model, train)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < whole / 2, f"{peak / 1e6:.1f} MB at most, the images are {whole / 1e6:.1f} MB"


def test_image_files_are_cut_as_the_settings_say_and_normalised_beside_the_network(tmp_path: Path, root: Path) -> None:
    plain = torch_stages.image_folder(tmp_path / "plain", root)
    asked = torch_stages.image_folder(tmp_path / "asked", root, crop=0.8, interpolation="bicubic", normalise="imagenet")
    assert (asked.values["mean"], asked.values["std"]) == tuple(map(list, IMAGENET))
    inputs = torch_stages.inputs_of(asked)["validation"]
    path = root / inputs.images.names[0]  # type: ignore[attr-defined]
    with Image.open(path) as image:
        expected = Geometry(16, 20, "bicubic").squared(image.convert("RGB"))
    np.testing.assert_array_equal(inputs.pixels(np.array([0]))[0], np.asarray(expected).transpose(2, 0, 1))
    mean, std = (np.array(each, np.float32)[:, None, None] for each in IMAGENET)
    np.testing.assert_allclose(inputs[:1][0], (inputs.pixels(np.array([0]))[0] / 255 - mean) / std, atol=1e-5)
    assert plain.values["digest"] != asked.values["digest"]
    assert inputs.shape == torch_stages.inputs_of(plain)["validation"].shape


def test_images_in_memory_take_the_settings_too(digits: Artifact, tmp_path: Path) -> None:
    asked = torch_stages.data(tmp_path, resize=16, normalise="half")
    assert (asked.values["shape"], asked.values["mean"], asked.values["std"]) == ([1, 16, 16], [0.5], [0.5])
    assert digits.values["shape"] == [1, 8, 8]


def test_weights_ask_for_what_the_settings_leave_open(tmp_path: Path, root: Path) -> None:
    values = {"mean": [0.5] * 3, "std": [0.5] * 3, "image_size": 24, "crop": 0.75, "interpolation": "bicubic"}
    source, wanted = Artifact("source", "source", root), Artifact("wanted", "wanted", Path(), values)
    parameters = {"dataset": "image_folder", **DataSettings().model_dump()}
    made = torch_stages.execute("data", tmp_path, parameters, source=source, wanted=wanted)
    assert (made.values["shape"], made.values["mean"]) == ([3, 24, 24], [0.5] * 3)
    geometry = json.loads((made.path / "validation.json").read_text())["geometry"]
    assert geometry == {"size": 24, "resize": 32, "interpolation": "bicubic"}
