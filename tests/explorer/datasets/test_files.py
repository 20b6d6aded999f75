"""Folders of image files: the middle square in colour, and files, classes and folders that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.core.errors import StageFailed
from explorer.datasets import _files
from explorer.datasets._folders import survey
from explorer.line.prepared import Prepared
from tests import data_sets, torch_stages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return data_sets.tree(tmp_path / "images")


def test_the_middle_of_an_image_is_taken_at_the_size_asked_for(tmp_path: Path, root: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 50)
    for file in (root / "test" / "cat").iterdir():
        file.unlink()
    Image.fromarray(wide).save(root / "test" / "cat" / "wide.png")
    pixels = Prepared.load(torch_stages.image_folder(tmp_path / "out", root)).test.pixels(np.array([0]))[0]
    assert pixels.shape == (3, 16, 16)
    np.testing.assert_array_equal(pixels[:, 2:-2, 2:-2], np.full((3, 12, 12), np.array([200, 100, 50])[:, None, None]))


def test_grey_and_palette_images_become_coloured(tmp_path: Path, root: Path) -> None:
    for mode in ("L", "P", "RGBA", "1"):
        data_sets.photo(1, 0, 20, 20).convert(mode).save(root / "test" / "cat" / f"{mode}.png")
    assert torch_stages.image_folder(tmp_path / "out", root).values["test"] == 12 + 4


@pytest.mark.parametrize("name", ["cifar10_jpeg", "image_folder"])
def test_an_empty_class_is_a_failure_that_names_its_folder(name: str, tmp_path: Path, root: Path) -> None:
    for file in (root / "test" / "dog").iterdir():
        file.unlink()
    with pytest.raises(StageFailed, match=r"images/test/dog holds no image; expected files that end in .*\.jpg"):
        torch_stages.data(tmp_path / "out", name, root)


@pytest.mark.parametrize("name", ["cifar10_jpeg", "image_folder"])
def test_a_class_of_corrupt_images_is_a_failure(name: str, tmp_path: Path, root: Path) -> None:
    for file in (root / "test" / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.raises(StageFailed, match=r"none of the images in .*images/test/dog can be read"):
        torch_stages.data(tmp_path / "out", name, root)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test", "images/test has a folder for class 'fox', which .*images/train has not"),
        ("train", "images/test has no folder for class 'fox', which .*images/train has"),
    ],
)
def test_classes_that_differ_between_splits_are_a_failure(split: str, message: str, tmp_path: Path, root: Path) -> None:
    (root / split / "fox").mkdir()
    with pytest.raises(StageFailed, match=message):
        torch_stages.image_folder(tmp_path / "out", root)


def test_a_folder_without_classes_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "images" / "train").mkdir(parents=True)
    with pytest.raises(StageFailed, match=r"train has no folders of classes; images are expected at .*/CLASS/NAME"):
        torch_stages.image_folder(tmp_path / "out", tmp_path / "images")


def test_images_in_memory_are_those_in_files(root: Path) -> None:
    (root / "train" / "dog" / "03.jpg").write_bytes(b"")
    found = survey(root, ("train", "test"))
    classes = _files.classes_of(found, ("train", "test"))
    streamed, corrupt = _files.read(found, "train", classes, 16)
    held, same = _files.read_into_memory(found, "train", classes, 16)
    assert corrupt == same == ("train/dog/03.jpg",)
    every = np.arange(len(held))
    np.testing.assert_array_equal(streamed.pixels(every), held.pixels(every))
    np.testing.assert_array_equal(streamed.labels, held.labels)
    np.testing.assert_array_equal(streamed.sums(), held.sums())
    np.testing.assert_array_equal(streamed.part(every[5:]).sums(), held.part(every[5:]).sums())
