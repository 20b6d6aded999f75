"""The stages left to execute of a space, and the time that they take by what is on record."""

from __future__ import annotations

from pathlib import Path

import pytest

import explorer
from explorer.core.configuration import Configuration
from explorer.core.errors import ExplorerError, Failure
from explorer.search.grids import planning
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.explorer.spaces import SMALL, make


def test_a_plan_of_an_empty_workspace_counts_and_knows_no_times(tmp_path: Path) -> None:
    path = make(tmp_path, SMALL).path
    plan = explorer.plan(path, tmp_path / "w")
    counts = explorer.count(path)
    assert [(each.stage, each.alone, each.left) for each in plan.stages] == [
        (each.stage, each.alone, each.distinct) for each in counts
    ]
    assert plan.unknown == tuple(each.stage for each in counts)
    assert (plan.seconds, plan.share) == (0.0, None)
    assert not (tmp_path / "w").exists()


def test_the_times_of_a_plan_are_those_of_such_executions(tmp_path: Path) -> None:
    searched = make(tmp_path, SMALL)
    workspace = Workspace(tmp_path / "w")
    workspace.root.mkdir()
    records = Records(workspace.url)
    seconds = {"mobilenetv2": 10.0, "resnet18": 30.0}
    for number, (model, own) in enumerate(seconds.items()):
        configuration = Configuration("digits", model, device="local")
        values = {"train_key": model, "latency_ms": 1.0}
        records.add_trial("another", number, configuration, Record(values), 0.0)
        records.executions.add("train", model, own)
        records.executions.add("measure", model, 2.0)
    records.executions.add("train", "failed", 1000.0, Failure("train", "crash", "gone"))
    plan = explorer.plan(searched.path, workspace.root)
    found = {each.stage: each for each in plan.stages}
    assert found["train"].seconds_left == 40.0
    assert found["train"].seconds_alone == 20.0 * searched.count
    measuring = 2.0 * searched.settings.measure.sessions * searched.count
    assert found["measure"].seconds_left == measuring
    assert plan.seconds == 40.0 + measuring, "one trains after another, and then they are measured"
    assert found["build"].seconds_left is None
    assert "build" in plan.unknown


@pytest.mark.parametrize(("jobs", "seconds"), [(None, 40.0), (2, 20.0), (4, 10.0), (16, 5.0)])
def test_trainings_go_on_beside_one_another_as_jobs_say_until_all_cores_are_busy(
    jobs: int | None, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    searched = make(tmp_path, SMALL)
    workspace = Workspace(tmp_path / "w")
    workspace.root.mkdir()
    Records(workspace.url).executions.add("train", "another", 20.0)
    assert explorer.plan(searched.path, workspace.root, jobs=jobs).seconds == seconds


@pytest.mark.parametrize(("visible", "seconds"), [("", 240.0), ("0", 240.0), ("0,1", 120.0)])
def test_a_long_training_is_planned_alone_unless_there_are_several_gpus(
    visible: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    searched = make(tmp_path, SMALL)
    workspace = Workspace(tmp_path / "w")
    workspace.root.mkdir()
    Records(workspace.url).executions.add("train", "another", 120.0)
    assert explorer.plan(searched.path, workspace.root, jobs=4 if visible != "0,1" else None).seconds == seconds


def test_a_plan_for_no_jobs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="jobs 0 is below 1"):
        explorer.plan(make(tmp_path, SMALL).path, tmp_path / "w", jobs=0)


def test_what_is_on_record_is_not_planned_again(tmp_path: Path) -> None:
    searched = make(tmp_path, {**SMALL, "device": "local"})
    (tmp_path / "w").mkdir()
    records = Records(Workspace(tmp_path / "w").url)
    first, *rest = searched.configurations()
    records.add_trial(searched.name, 0, first, Record({"latency_ms": 1.0}), 0.0)
    plan = planning.plan(searched, searched.configurations(), records)
    assert (plan.configurations, plan.on_record) == (searched.count, 1)
    left = {each.stage: each.left for each in plan.stages}
    assert left["measure"] == len(rest)
    assert left["train"] == 1, "the first one's network is trained"
    assert "data" not in left or left["data"] == 0


def test_the_share_is_that_of_what_each_would_take_alone() -> None:
    def stage(alone: float | None, left: float | None) -> planning.StagePlan:
        return planning.StagePlan("train", 4, 1, False, alone, left)

    known = planning.Plan(4, 0, (stage(40.0, 10.0), stage(60.0, 15.0), stage(None, None)), 25.0, ())
    assert known.share == pytest.approx(0.25)
    assert planning.Plan(4, 0, (stage(None, None),), 0.0, ("train",)).share is None
