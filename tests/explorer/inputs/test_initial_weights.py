"""Where initial weights are looked for, and what is known to be wrong before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, SpaceError, StageFailed, WorkspaceError
from explorer.inputs import external, initial_weights
from explorer.processes import pool
from explorer.search import search
from explorer.search.optuna_study.study import Study
from explorer.space.space import Space, load
from explorer.space.toml import space_file
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests.explorer import spaces
from tests.studies import Events

AXES: Mapping[str, Any] = {"dataset": "digits", "model": ["resnet18", "vgg16"], "width": [0.5, 1]}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "w").mkdir()
    return Workspace(tmp_path / "w")


def space(folder: Path, weights: str, constraints: Any = (), epochs: int = 1, **axes: Any) -> Space:
    path = spaces.write(folder, {**AXES, **axes}, constraints)
    path.write_text(f'{path.read_text()}[train]\nweights = "{weights}"\nepochs = {epochs}\n')
    return load(path, space_file.BUNDLED / space_file.DEVICES_FILE)


def test_the_configurations_choices_stand_in_the_name(tmp_path: Path, workspace: Workspace) -> None:
    for name in ("digits-resnet18-0.5", "digits-resnet18-1", "digits-vgg16-1"):
        (tmp_path / f"{name}.pt").write_text(name)
    only = [{"when": {"model": "vgg16"}, "require": {"width": [1.0]}}]
    asked = space(tmp_path, f"{tmp_path}/{{dataset}}-{{model}}-{{width}}.pt", only)
    found = initial_weights.find(asked, workspace)
    assert {start: artifact.path.name for start, artifact in found.items()} == {
        ("digits", "resnet18", 0.5): "digits-resnet18-0.5.pt",
        ("digits", "resnet18", 1.0): "digits-resnet18-1.pt",
        ("digits", "vgg16", 1.0): "digits-vgg16-1.pt",
    }
    assert len({artifact.key for artifact in found.values()}) == 3


def test_the_contents_enter_the_key_of_training_and_neither_name_nor_place(
    tmp_path: Path, workspace: Workspace
) -> None:
    def start(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        found = external.find(space(tmp_path, f"{tmp_path}/{name}"), workspace)
        parents = found.parents(Configuration("digits", "resnet18"))
        assert "weights" not in parents["compress"], "which depends on what was trained"
        return parents["train"]["weights"].key

    assert start("a.pt", "1") == start("b.pt", "1") != start("c.pt", "2")
    (tmp_path / "none").mkdir()
    without = load(spaces.write(tmp_path / "none", AXES), space_file.BUNDLED / space_file.DEVICES_FILE)
    assert not external.find(without, workspace).parents(Configuration("digits", "resnet18"))["train"]


def test_a_study_is_not_continued_with_other_weights(tmp_path: Path, workspace: Workspace) -> None:
    def opened(content: str) -> None:
        (tmp_path / "a.pt").write_text(content)
        asked = space(tmp_path, f"{tmp_path}/a.pt", model="vgg16", width=0.5)
        Study(asked, workspace, Records(workspace.url), external.find(asked, workspace).digests())

    opened("one")
    opened("one")
    with pytest.raises(WorkspaceError, match=r"made with other weights of vgg16 x0\.5 on digits; choose"):
        opened("two")


@pytest.mark.parametrize(
    ("weights", "axes", "message"),
    [
        (
            "gone.pt",
            {},
            r"drawn.toml: \[train\] weights = 'gone.pt': no such file; allowed: a checkpoint or 'pr",
        ),
        ("{model}.pt", {}, r"weights = 'resnet18.pt': no such file"),
        ("pretrained", {}, "pretrained weights are of width 1, and resnet18 is asked for at 0.5"),
        (
            "pretrained",
            {"model": "mobilenetv1"},
            "no pretrained weights are known of mobilenetv1; allowed: densenet161",
        ),
        ("pretrained", {"model": "nets:build"}, "no pretrained weights are known of nets:build; allowed: "),
        ("x.pt", {"width": {"low": 0.5, "high": 1.0}}, r"\[train\] weights are of one width and the axis width is 0.5"),
    ],
)
def test_weights_that_cannot_be_are_an_error(
    weights: str, axes: Mapping[str, Any], message: str, tmp_path: Path, workspace: Workspace
) -> None:
    with pytest.raises(SpaceError, match=message):
        initial_weights.find(space(tmp_path, weights, **axes), workspace)


def test_training_nothing_from_nothing_is_refused(tmp_path: Path) -> None:
    assert space(tmp_path, "file.pt", epochs=0).settings.train.epochs == 0
    with pytest.raises(SpaceError, match=r"drawn.toml:\d+: epochs = 0 in \[train\] trains nothing and needs weights"):
        space(tmp_path, "", epochs=0)


def test_a_file_that_is_no_checkpoint_ends_a_study_before_it_begins(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "a.pt").write_text("no checkpoint")
    events = Events()
    with pytest.raises(SpaceError, match=r"drawn.toml: \[train\] weights: .*a.pt is no checkpoint that torch.save"):
        search.run(space(tmp_path, f"{tmp_path}/a.pt"), workspace, events)
    assert not events.stages
    assert not workspace.artifacts.exists()


def test_published_weights_are_taken_from_torch_hubs_folder(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_text("weights")
    (found,) = initial_weights.find(space(tmp_path, "pretrained", model="resnet18", width=1), workspace).values()
    assert found.path == file


def test_a_download_that_fails_is_one_sentence(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(worker: pool.Worker, request: Mapping[str, Any], timeout: float | None = None) -> None:
        assert request["call"] == "explorer.line.training.initial.weights:download"
        raise StageFailed(Failure("download", "exception", "URLError: <urlopen error\n no route to host>"))

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(pool.Worker, "request", fail)
    message = r"models/resnet18-f37072fd.pth cannot be downloaded to .*f37072fd.pth: URLError: <urlopen error no route"
    with pytest.raises(SpaceError, match=message):
        initial_weights.find(space(tmp_path, "pretrained", model="resnet18", width=1), workspace)
