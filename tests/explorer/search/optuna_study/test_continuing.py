"""A study goes on with a space that asks the same; one that asks otherwise is told what was asked before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import WorkspaceError
from explorer.space import space
from explorer.workspace.workspace import Workspace
from tests.explorer.search.optuna_study.test_study import opened, step
from tests.explorer.spaces import FEW_SAMPLERS, make

AXES: Mapping[str, Any] = {
    "dataset": "digits",
    "model": ["mobilenetv2", "resnet18"],
    "compression": "channel_pruning",
    "ratio": {"low": 0.3, "high": 0.9},
    "threads": {"low": 1, "high": 4},
}
LOG = {"low": 0.3, "high": 0.9, "log": True}
LINEAR = "a range from 0.3 to 0.9"


def begun(folder: Path, sampler: str, **axes: Any) -> Workspace:
    """Return a workspace with three trials of a study."""
    (folder / "w").mkdir()
    workspace = Workspace(folder / "w")
    study = opened(make(folder, {**AXES, **axes}, sampler=sampler, trials=9), workspace)
    for _ in range(3):
        step(study)
    return workspace


def refusal(folder: Path, workspace: Workspace, sampler: str, **axes: Any) -> str:
    with pytest.raises(WorkspaceError) as caught:
        opened(make(folder, {**AXES, **axes}, sampler=sampler, trials=9), workspace)
    return str(caught.value)


@pytest.mark.parametrize("sampler", [each for each in FEW_SAMPLERS if each != "grid"])
def test_an_axis_that_becomes_logarithmic_or_linear_is_another_one(sampler: str, tmp_path: Path) -> None:
    workspace = begun(tmp_path, sampler)
    end = "; choose another --workspace, or give the space another name"
    said = refusal(tmp_path, workspace, sampler, ratio=LOG)
    assert said == (
        f"the workspace's study 'drawn' was made with other axes (ratio was {LINEAR} and is {LINEAR}, log = true){end}"
    )
    threads = "a range from 1 to 4"
    logarithmic = {"low": 1, "high": 4, "log": True}
    said = refusal(tmp_path, workspace, sampler, threads=logarithmic)
    assert f"axes (threads was {threads} and is {threads}, log = true){end}" in said
    assert f"axes (threads was {threads} and is a list){end}" in refusal(
        tmp_path, workspace, sampler, threads=[1, 2, 3, 4]
    )
    (tmp_path / "b").mkdir()
    other = begun(tmp_path / "b", sampler, ratio=LOG)
    assert f"(ratio was {LINEAR}, log = true and is {LINEAR}){end}" in refusal(tmp_path, other, sampler)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"ratio": {"low": 0.3, "high": 0.8}}, "axes (ratio was 0.3..0.9 and is 0.3..0.8)"),
        ({"ratio": {"low": 0.3, "high": 0.9, "step": 0.3}}, "axes (ratio was 0.3..0.9 and is 0.3, 0.6, 0.9)"),
        ({"threads": [1, 2]}, "axes (threads was 1, 2, 3, 4 and is 1, 2)"),
        ({"threads": 1, "ratio": 0.5}, "axes (ratio was 0.3..0.9 and is 0.5; threads was 1, 2, 3, 4 and is 1)"),
    ],
)
def test_an_axis_of_other_choices_is_named_with_both(axes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert f"with other {said}; choose" in refusal(tmp_path, begun(tmp_path, "random"), "random", **axes)


def test_a_setting_that_changed_is_named_with_both(tmp_path: Path) -> None:
    workspace = begun(tmp_path, "random")
    path = tmp_path / "drawn.toml"
    path.write_text(path.read_text() + '[train]\nepochs = 7\n[data]\naugment = ["flip"]\n')
    with pytest.raises(WorkspaceError) as caught:
        opened(space.load(path), workspace)
    said = "other settings (data augment was not given and is flip; train epochs was 15 and is 7); choose"
    assert said in str(caught.value)


def test_what_may_change_does(tmp_path: Path) -> None:
    workspace = begun(tmp_path, "random")
    changed = make(tmp_path, AXES, sampler="tpe", trials=20, seed=4, limits=["latency_ms <= 9"])
    study = opened(changed, workspace)
    assert step(study) is not None
    numbers = {"ratio": {"high": 0.9, "low": 0.3, "log": False}, "threads": {"low": 1, "high": 4, "step": 1}}
    assert step(opened(make(tmp_path, {**AXES, **numbers}, sampler="gp", trials=20), workspace)) is not None
