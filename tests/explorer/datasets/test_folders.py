"""Folders as people have them: which of their files are images of which class, and what is named as left out."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from explorer.datasets._files import fault
from explorer.datasets._folders import SPLIT_NAMES, SUFFIXES, SYSTEM_NAMES, survey
from tests import ROOT, data_sets

SPLITS = ("train", "val", "test")
# What else Pillow opens: drawings, films, icons, tables of numbers, and formats of games and of single programs.
OTHERS = (
    ".avifs .blp .bufr .cur .dcx .emf .eps .fit .fits .flc .fli .ftc .ftu .gbr .grib .h5 .hdf .icb .icns .ico .iim .im "
    ".mpeg .mpg .msp .pcd .ps .pxr .vda .vst .wmf .xbm .xpm"
)


def write(root: Path, *names: str) -> None:
    """Write small images, or other content where the ending is no image's."""
    for index, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        data_sets.photo(1, index, 9, 9).save(root / name, "PNG")


def test_endings_are_those_of_what_pillow_reads() -> None:
    Image.init()
    read = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    assert sorted([*SUFFIXES, *OTHERS.split()]) == sorted(read)


def test_the_documentation_names_every_ending_and_folder() -> None:
    page = (ROOT / "docs" / "models-data-training.md").read_text().lower()
    names = [*SUFFIXES, *SYSTEM_NAMES, *(name for names in SPLIT_NAMES.values() for name in names)]
    assert [name for name in names if f"`{name}`".replace("\r", "\\r") not in page] == []


def test_litter_is_no_class_and_no_image(tmp_path: Path) -> None:
    images = ["train/a/0.png", "train/a/1.JPG", "train/b/2.jfif", "train/b/3.jpe", "train/b/4.Tif"]
    hidden = [".cache/0.png", "train/.ipynb_checkpoints/0.png", "train/@eaDir/0.png", "train/__MACOSX/a/0.png"]
    hidden += ["train/a/._0.png", "train/a/.DS_Store", "train/b/Thumbs.db", "train/b/Desktop.ini"]
    write(tmp_path, *images, *hidden, "train/a/labels.csv", "train/readme.txt", "readme.txt")
    write(tmp_path, "train/5.png", "6.png", "extra/a/0.png")
    (tmp_path / "train" / ".empty").mkdir()
    found = survey(tmp_path, SPLITS)
    assert found.images == {"train": {"a": images[:2], "b": images[2:]}}
    assert found.files == images
    assert sorted(map(len, found.left_out.values())) == [1, 2, 2, 9]
    assert found.notes == (
        "hidden and system files or folders: 9 (.cache, train/.empty, train/.ipynb_checkpoints, …)",
        "images that lie in no class's folder: 2 (6.png, train/5.png)",
        "folders that are no split: 1 (extra)",
        "files with endings of no image: 2 (train/a/labels.csv, train/readme.txt)",
    )
    assert fault(tmp_path, ("train",)) is None


def test_images_below_a_class_and_behind_links_are_of_that_class(tmp_path: Path) -> None:
    write(tmp_path / "root", "train/a/2019/may/0.png", "train/a/1.png", "train/b/2020/2.png")
    write(tmp_path / "stored", "3.png", "deep/4.png")
    train = tmp_path / "root" / "train"
    (train / "c").symlink_to(tmp_path / "stored")
    (train / "a" / "5.png").symlink_to(tmp_path / "stored" / "3.png")
    (train / "b" / "round").symlink_to(train / "b")
    (train / "b" / "whole").symlink_to(tmp_path / "root")
    (train / "b" / "2020" / "up").symlink_to("..")
    (tmp_path / "stored" / "again").symlink_to("deep")
    (train / "b" / "nowhere.png").symlink_to("gone.png")
    (train / "b" / "itself").symlink_to("itself")
    found = survey(tmp_path / "root", SPLITS)
    own = found.images["train"]
    assert own["a"] == ["train/a/1.png", "train/a/2019/may/0.png", "train/a/5.png"]
    assert own["b"] == ["train/b/2020/2.png"]
    assert {Path(name).name for name in own["c"]} == {"3.png", "4.png"}
    assert len(own["c"]) == 2, "a folder that two links lead to counts once"
    assert found.left_out == {"unreadable": ["train/b/itself", "train/b/nowhere.png"]}


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in SPLIT_NAMES.items() for name in names])
def test_splits_are_found_under_their_names_in_any_case(split: str, name: str, tmp_path: Path) -> None:
    folders = {**{each: each for each in SPLITS}, split: name.capitalize()}
    write(tmp_path, *(f"{folder}/{label}/0.png" for folder in folders.values() for label in ("a", "b")))
    found = survey(tmp_path, SPLITS)
    assert found.folders == {each: [folder] for each, folder in folders.items()}
    assert found.images[split]["a"] == [f"{name.capitalize()}/a/0.png"]
    assert not found.notes


def test_names_may_have_spaces_and_be_of_any_alphabet(tmp_path: Path) -> None:
    """A Mac writes accents apart from their letters, other systems do not."""
    names = ("Pão de queijo", "wild ☕ [1]", "a*b?")
    write(tmp_path, *(f"train/{name}/{name}.png" for name in names))
    write(tmp_path, *(f"val/{unicodedata.normalize('NFD', name)}/0.png" for name in names))
    write(tmp_path, "train/caf\udce9/0.png", "val/caf\udce9/0.png")  # as Latin-1 has it
    assert fault(tmp_path, ("train", "val")) is None
    found = survey(tmp_path, SPLITS)
    assert set(found.images["train"]) == set(found.images["val"]) == {*names, "caf\\xe9"}
    assert all((tmp_path / name).exists() for name in found.files)


def test_folders_that_cannot_be_meant_are_told_in_one_sentence(tmp_path: Path) -> None:
    def told() -> str | None:
        return fault(tmp_path, ("train",), ("val", "test"))

    write(tmp_path, *(f"train/only/{index}.png" for index in range(3)))
    assert told() == f"{tmp_path}/train has one class, 'only'; a classifier needs at least two"
    write(tmp_path, *(f"train/other/{index}.png" for index in range(3)))
    assert told() is None
    write(tmp_path, "valid/only/0.png")
    assert told() == f"{tmp_path}/valid has no folder for class 'other', which {tmp_path}/train has"
    write(tmp_path, "valid/other/0.heic")
    assert (told() or "").startswith(f"{tmp_path}/valid/other holds no image; expected files that end in .apng, ")
    write(tmp_path, "valid/other/0.png", "Val/only/0.png", "Val/other/0.png")
    assert told() == f"{tmp_path} has the folders Val and valid for one split; only one can be used"
    shutil.rmtree(tmp_path / "Val")
    assert told() is None
