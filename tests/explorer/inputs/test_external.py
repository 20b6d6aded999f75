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
from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError, WorkspaceError
from explorer.inputs import external, own_code
from explorer.line import contracts
from explorer.search import search
from explorer.search.optuna_study.study import Study
from explorer.space.axes import CUSTOM
from explorer.space.space import Space, load
from explorer.space.toml import space_file
from explorer.workspace.database.records import Records
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
JUDGED = """
from pathlib import Path
from torch import nn

def loss(outputs, targets):
    weights = (Path(__file__).parent / "weights.txt").read_text()
    return float(weights) * nn.functional.cross_entropy(outputs, targets)

def judge(predictions, targets):
    return float((Path(__file__).parent / "bonus.txt").read_text()) + (predictions.argmax(1) == targets)
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


def space(folder: Path, axes: Mapping[str, Any] = OWN, nets: str = NETS, settings: str = "") -> Space:
    """Return a space in a folder of the user's, with a module beside it."""
    (folder / "user").mkdir(exist_ok=True)
    (folder / "user" / "nets.py").write_text(nets)
    path = spaces.write(folder / "user", axes)
    path.write_text(path.read_text() + settings)
    return load(path, space_file.BUNDLED / space_file.DEVICES_FILE)


def test_each_stage_depends_on_the_code_it_runs(tmp_path: Path, workspace: Workspace) -> None:
    axes = {**OWN, "dataset": ["digits", "nets:images"], "compression": ["nets:halve+weight_pruning"], "ratio": 0.5}
    own = space(tmp_path, axes)
    found = external.find(own, workspace)

    def parents(**choices: Any) -> dict[str, set[str]]:
        return {stage: set(own) for stage, own in found.parents(Configuration(**choices)).items()}

    code, none = {"code of nets:build"}, set[str]()
    assert parents(dataset="digits", model="nets:build") == {
        "data": {"source"}, "train": code, "compress": code, "score": none,
    }  # fmt: skip
    assert parents(dataset="nets:images", model="resnet18", compression="nets:halve+weight_pruning", ratio=0.5) == {
        "data": {"source", "code of nets:images"},
        "train": set(),
        "compress": {"code of nets:halve"},
        "score": none,
    }
    assert {artifact.path for artifact in found.code.values()} == {tmp_path / "user"}


def test_training_depends_on_the_loss_and_the_score_alone_on_the_metric(tmp_path: Path, workspace: Workspace) -> None:
    own = space(tmp_path, settings='[train]\nloss = "judged:loss"\n[evaluate]\nmetric = "judged:judge"\n')
    (tmp_path / "user" / "judged.py").write_text(JUDGED)
    read = [tmp_path / "user" / name for name in ("weights.txt", "bonus.txt")]
    for file in read:
        file.write_text("1")

    def parents() -> Mapping[str, Mapping[str, Artifact]]:
        return external.find(own, workspace).parents(Configuration(dataset="digits", model="nets:build"))

    found = parents()
    trained = {"code of nets:build", "code of judged:loss"}
    assert {stage: set(named) for stage, named in found.items()} == {
        "data": {"source"}, "train": {*trained, "metric"}, "compress": trained, "score": {"code of judged:judge"},
    }  # fmt: skip
    data = Artifact("data", "d", tmp_path)
    keyed = contracts.train.Parents.of({"data": data, **found["train"]}).keyed()
    assert set(keyed) == {"data", *trained}, "another metric trains nothing anew"
    for file, function in zip(read, ("loss", "judge"), strict=True):
        before = {name: made.key for each in parents().values() for name, made in each.items()}
        file.write_text("2")
        after = {name: made.key for each in parents().values() for name, made in each.items()}
        assert {name for name in after if after[name] != before[name]} - {"metric"} == {f"code of judged:{function}"}


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
        ("loss", "build", r"'nets:build' cannot be called as build\(outputs, targets\): missing"),
        ("metric", "NUMBER", r"'nets:NUMBER' cannot be called as NUMBER\(predictions, targets\)"),
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
    assert set(own_code.AXES) == set(CUSTOM) == set(plugins.SIGNATURES) - {own_code.LOSS, own_code.METRIC}
