"""What comes from outside of the line: in the keys of the stages that it decides, and looked at before any of them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.core import plugins
from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError, WorkspaceError
from explorer.inputs import external, own_code
from explorer.search import search
from explorer.search.study import Study
from explorer.space import space_file
from explorer.space.axes import CUSTOM
from explorer.space.space import Space, load
from explorer.workspace.records import Records
from explorer.workspace.workspace import Workspace
from tests import data_sets
from tests.explorer import spaces
from tests.studies import Events

NETS = """
from torch import nn

def build(width, classes, shape):
    channels = round(16 * width)
    layers = [nn.Conv2d(shape[0], channels, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(channels, classes))

def halve(model, ratio, example, fine_tune):
    return model

def images(options):
    raise NotImplementedError

def no_arguments():
    return None

NUMBER = 3
"""
OWN: Mapping[str, Any] = {"dataset": "digits", "model": "nets:build"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "w").mkdir()
    return Workspace(tmp_path / "w")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test have a module `nets` of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("nets", None)


def space(folder: Path, axes: Mapping[str, Any] = OWN, nets: str = NETS) -> Space:
    """Return a space in a folder of the user's, with a module beside it."""
    (folder / "user").mkdir(exist_ok=True)
    (folder / "user" / "nets.py").write_text(nets)
    path = spaces.write(folder / "user", axes)
    return load(path, space_file.BUNDLED / space_file.DEVICES_FILE)


def test_each_stage_depends_on_the_code_it_runs(tmp_path: Path, workspace: Workspace) -> None:
    axes = {**OWN, "dataset": ["digits", "nets:images"], "compression": ["nets:halve+weight_pruning"], "ratio": 0.5}
    own = space(tmp_path, axes)
    found = external.find(own, workspace)

    def parents(**choices: Any) -> dict[str, set[str]]:
        return {stage: set(own) for stage, own in found.parents(Configuration(**choices)).items()}

    code = {"code of nets:build"}
    assert parents(dataset="digits", model="nets:build") == {"data": {"source"}, "train": code, "compress": code}
    assert parents(dataset="nets:images", model="resnet18", compression="nets:halve+weight_pruning", ratio=0.5) == {
        "data": {"source", "code of nets:images"},
        "train": set(),
        "compress": {"code of nets:halve"},
    }
    assert {artifact.path for artifact in found.code.values()} == {tmp_path / "user"}


def test_a_study_is_not_continued_with_other_code(tmp_path: Path, workspace: Workspace) -> None:
    def opened(nets: str) -> None:
        own = space(tmp_path, nets=nets)
        Study(own, workspace, Records(workspace.url), external.find(own, workspace).digests())

    opened(NETS)
    opened(NETS)
    with pytest.raises(WorkspaceError, match="study 'drawn' was made with other code of nets:build; choose another"):
        opened(NETS + "# edited")


@pytest.mark.parametrize(
    ("kind", "function", "message"),
    [
        ("model", "built", r"module 'nets' of 'nets:built' \(.*nets.py\) defines no 'built'"),
        ("model", "NUMBER", "'nets:NUMBER' cannot be called as NUMBER"),
        ("model", "no_arguments", r"cannot be called as no_arguments\(width, classes, shape\): too many positional"),
        ("dataset", "build", r"'nets:build' cannot be called as build\(options\): missing"),
        ("compression", "build", r"cannot be called as build\(model, ratio, example, fine_tune\): too many"),
    ],
)
def test_functions_that_are_missing_or_take_other_arguments(
    kind: str, function: str, message: str, tmp_path: Path, fresh: None
) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    assert re.search(message, plugins.check_custom(kind, f"nets:{function}", str(tmp_path)) or "")


@pytest.mark.parametrize(("kind", "function"), [("model", "build"), ("dataset", "images"), ("compression", "halve")])
def test_functions_as_they_should_be(kind: str, function: str, tmp_path: Path, fresh: None) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    assert plugins.check_custom(kind, f"nets:{function}", str(tmp_path)) is None


@pytest.mark.parametrize(
    ("nets", "message"),
    [
        (
            "import gone\n",
            "cannot import 'nets' of 'nets:build': ModuleNotFoundError: No module named 'gone' ({file}:1)",
        ),
        ("x = 1\ndef broken(:\n", "cannot import 'nets' of 'nets:build': SyntaxError: invalid syntax ({file}:2)"),
        ("raise ValueError('two\\nlines')\n", "cannot import 'nets' of 'nets:build': ValueError: two lines ({file}:1)"),
        (
            "import sys\nprint('set it')\nsys.exit(1)\n",
            "'nets' of 'nets:build' ended Python while it was imported: SystemExit: 1 ({file}:3), "
            "after it wrote 'set it'",
        ),
    ],
)
def test_modules_that_cannot_be_imported(nets: str, message: str, tmp_path: Path, fresh: None) -> None:
    (tmp_path / "nets.py").write_text(nets)
    assert plugins.check_custom("model", "nets:build", str(tmp_path)) == message.format(file=tmp_path / "nets.py")


@pytest.mark.parametrize(
    ("axes", "nets", "message"),
    [
        ({"model": "nest:build"}, NETS, "'nest:build': there is no module 'nest' in .*user"),
        (
            {},
            "import os; os._exit(3)\n",
            "drawn.toml: model: 'nets' of 'nets:build', in .*user, ended the process with exit code 3",
        ),
        ({"model": "nets:built"}, "", "drawn.toml: model: module 'nets' of .* defines no 'built'"),
    ],
)
def test_own_code_that_cannot_be_used_ends_a_study_before_it_begins(
    axes: Mapping[str, Any], nets: str, message: str, tmp_path: Path, workspace: Workspace
) -> None:
    events = Events()
    with pytest.raises(SpaceError, match=message):
        search.run(space(tmp_path, {**OWN, **axes}, nets), workspace, events)
    assert not events.stages
    assert not workspace.artifacts.exists()


@pytest.mark.parametrize("name", ["image_folder", "cifar10_jpeg"])
def test_folders_that_are_not_those_of_the_classes_end_a_study_before_it_begins(
    name: str, tmp_path: Path, workspace: Workspace
) -> None:
    root = data_sets.tree(tmp_path / "cifar10-jpeg")
    (root / "test" / "dog").rename(root / "test" / "dogs")
    path = spaces.write(tmp_path, {**OWN, "dataset": name, "model": "resnet18"})
    path.write_text(f'{path.read_text()}[data]\nimage_folder = "{root}"\nfolder = "{tmp_path}"\n')
    events = Events()
    with pytest.raises(SpaceError, match=f"drawn.toml: data set {name}: .*test has no folder for class 'dog', which"):
        search.run(load(path, space_file.BUNDLED / space_file.DEVICES_FILE), workspace, events)
    assert not events.stages


def test_every_kind_that_may_be_the_users_own_is_checked() -> None:
    assert set(own_code.KINDS) == set(CUSTOM) == set(plugins.SIGNATURES)
