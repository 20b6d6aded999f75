from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.core import plugins
from explorer.core.configuration import digest
from explorer.core.errors import Failure, SpaceError, StageFailed
from explorer.core.files.digests import digest_of_files
from explorer.core.settings import DataSettings
from explorer.inputs import dataset_files
from explorer.processes import pool
from explorer.search import search
from explorer.space import space
from explorer.space.toml import space_file
from explorer.workspace.database.records import Record
from explorer.workspace.workspace import Workspace
from tests import data_sets
from tests.studies import SHORT_MEASURING, Events

SPACE = """
[axes]
dataset = "image_folder"
model = "tests.custom_plugins:branching"
width = 0.5
[data]
image_folder = "{folder}"
image_size = 24
[train]
epochs = 1
batch_size = 8
{measuring}"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_the_digest_is_of_names_and_contents_not_of_the_place(tmp_path: Path, workspace: Workspace) -> None:
    def key(root: Path) -> str:
        return dataset_files.source("image_folder", DataSettings(image_folder=str(root)), workspace).key

    root = data_sets.tree(tmp_path / "a")
    first = key(root)
    root = root.rename(tmp_path / "b")
    assert key(root) == first
    (root / "train" / "cat" / "00.jpg").rename(root / "train" / "cat" / "other.jpg")
    renamed = key(root)
    with (root / "test" / "dog" / "01.jpg").open("ab") as handle:
        handle.write(b"more")
    assert len({first, renamed, key(root)}) == 3


def test_the_digest_is_of_what_is_used(tmp_path: Path, workspace: Workspace) -> None:
    def key() -> str:
        return dataset_files.source("image_folder", DataSettings(image_folder=str(root)), workspace).key

    root = data_sets.tree(tmp_path / "images")
    first = key()
    for litter in (".DS_Store", "train/cat/notes.txt", "train/dog/._00.jpg", "train/.ipynb_checkpoints/00.jpg"):
        (root / litter).parent.mkdir(exist_ok=True)
        (root / litter).write_bytes(b"litter")
        assert key() == first, litter
    keys = [first]
    for used in ("train/cat/2019/caf\udce9.JPG", "train/dog/00.jfif", "Validation/emu/00.tif"):  # the first: Latin-1
        (root / used).parent.mkdir(parents=True, exist_ok=True)
        (root / used).write_bytes(b"image")
        keys.append(key())
    assert len(set(keys)) == 4


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    file, cache = tmp_path / "file", tmp_path / "cache.db"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    first = digest_of_files(tmp_path, ["file"], cache)
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert digest_of_files(tmp_path, ["file"], cache) == first, "same size and time: not read"
    os.utime(file, ns=(2, 2))
    assert digest_of_files(tmp_path, ["file"], cache) != first


def test_where_files_lie_enters_no_key() -> None:
    here, there = DataSettings(folder="here", image_folder="x"), DataSettings(folder="there")
    assert digest(here.model_dump()) == digest(there.model_dump())
    assert digest(DataSettings(image_size=32).model_dump()) != digest(here.model_dump())


def test_data_sets_are_looked_for_in_the_folder_of_the_settings_or_of_the_environment(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = data_sets.tree(tmp_path / "sets" / "cifar10-jpeg")
    assert dataset_files.source("cifar10_jpeg", DataSettings(folder=str(tmp_path / "sets")), workspace).path == root
    monkeypatch.setenv("DLAS_DATA", str(tmp_path / "sets"))
    assert dataset_files.source("cifar10_jpeg", DataSettings(), workspace).path == root
    monkeypatch.delenv("DLAS_DATA")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets").rename(tmp_path / "data")
    assert dataset_files.source("cifar10_jpeg", DataSettings(), workspace).path == tmp_path / "data" / "cifar10-jpeg"


@pytest.mark.parametrize("name", ["digits", "tests.custom_plugins:stripes"])
def test_a_data_set_without_files_needs_none(name: str, workspace: Workspace) -> None:
    found = dataset_files.source(name, DataSettings(folder="nowhere"), workspace)
    assert found.path == Path("nowhere").absolute()
    assert not workspace.root.exists()


def test_fashion_mnist_is_taken_from_the_first_place_that_has_all_of_it(tmp_path: Path, workspace: Workspace) -> None:
    root = data_sets.fashion_mnist(tmp_path / "FashionMNIST" / "raw")
    settings = DataSettings(folder=str(tmp_path))
    assert dataset_files.source("fashion_mnist", settings, workspace).path == root
    assert plugins.literal("dataset", "fashion_mnist", "FOLDERS")[1] == "/usr/share/datasets/fashion-mnist"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("image_folder", {}, r"data set image_folder needs \[data\] image_folder, the folder"),
        ("image_folder", {"image_folder": "/gone"}, r"\[data\] image_folder = '/gone': no such folder"),
        (
            "image_folder",
            {"image_folder": "."},
            r"expects train/CLASS/NAME.jpg in \., where it does not use folders that are no split: 1 \(cats\);",
        ),
        (
            "cifar10_jpeg",
            {"folder": "/gone"},
            "expects train/CLASS/NAME.jpg, test/CLASS/NAME.jpg in /gone/cifar10-jpeg; \\[data\\] f",
        ),
    ],
)
def test_missing_files_are_an_error_that_says_what_is_expected_where(
    name: str,
    settings: dict[str, str],
    message: str,
    tmp_path: Path,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "cats").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError, match=message):
        dataset_files.source(name, DataSettings(**settings), workspace)  # type: ignore[arg-type]


def test_a_study_over_missing_files_ends_before_anything_is_computed(tmp_path: Path, workspace: Workspace) -> None:
    file = tmp_path / "space.toml"
    file.write_text(SPACE.format(folder=tmp_path / "gone", measuring=SHORT_MEASURING))
    events = Events()
    with pytest.raises(SpaceError, match="no such folder"):
        search.run(space.load(file, space_file.BUNDLED / space_file.DEVICES_FILE), workspace, events)
    assert not events.stages
    assert not workspace.artifacts.exists()


@pytest.mark.slow
def test_a_study_over_a_folder_goes_on_when_the_folder_moved_and_anew_when_an_image_changed(
    tmp_path: Path, workspace: Workspace
) -> None:
    def run(root: Path, study: str) -> tuple[list[str], Mapping[str, Any]]:
        file = tmp_path / f"{study}.toml"
        notes.clear()
        file.write_text(SPACE.format(folder=root, measuring=SHORT_MEASURING))
        events = Events()
        search.run(space.load(file, space_file.BUNDLED / space_file.DEVICES_FILE), workspace, events)
        (outcome,) = events.outcomes.values()
        assert isinstance(outcome, Record), outcome
        notes.extend(events.notes)
        return events.stages, outcome.values

    notes: list[str] = []

    root = data_sets.tree(tmp_path / "a")
    (root / "train" / "cat" / "[bold].jpg").write_text("no image")
    note = "1 of 37 files of data set image_folder is no image that can be read and is left out: train/cat/[bold].jpg"
    stages, values = run(root, "first")
    assert [each for each in notes if "disturbed sessions" not in each] == [note]
    assert {"data", "train", "compress", "build", "measure"} <= set(stages)
    assert values["test_images"] == 12
    root = root.rename(tmp_path / "b")
    stages, values = run(root, "second")
    assert {"data", "train", "compress", "build"}.isdisjoint(stages)
    assert note not in notes
    assert values["data_note"] == note, "told once, and on record"
    (root / "train" / "dog" / "00.jpg").write_bytes((root / "train" / "dog" / "01.jpg").read_bytes())
    assert {"data", "train", "compress"} <= set(run(root, "third")[0])


def test_what_is_missing_is_downloaded(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    root = data_sets.cifar10(tmp_path / "there", monkeypatch)

    def here(worker: pool.Worker, request: dict[str, Any], timeout: float | None = None) -> None:
        module, _, function = str(request["call"]).rpartition(":")
        getattr(plugins.load("dataset", module.rpartition(".")[2]), function)(**request["arguments"])

    monkeypatch.setattr(pool.Worker, "request", here)  # the worker's process would not see the archive's address
    settings = DataSettings(folder=str(tmp_path / "here"))
    with data_sets.published(root, tmp_path, monkeypatch):
        assert dataset_files.source("cifar10", settings, workspace).path == tmp_path / "here" / data_sets.CIFAR


def test_a_download_that_fails_is_one_sentence(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(worker: pool.Worker, request: dict[str, object], timeout: float | None = None) -> None:
        raise StageFailed(Failure("download", "exception", "URLError: <urlopen error\n no route to host>"))

    monkeypatch.setattr(pool.Worker, "request", fail)
    with pytest.raises(SpaceError, match=r"cifar10 cannot be downloaded into .*: URLError: <urlopen error no route"):
        dataset_files.source("cifar10", DataSettings(folder=str(tmp_path)), workspace)
