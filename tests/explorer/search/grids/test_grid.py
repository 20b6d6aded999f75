"""Full grids: what configurations share is executed once and first, whatever fails or is on record already."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

import explorer
from explorer.core.errors import Failure, SpaceError
from explorer.line.trials import dry_run
from explorer.search.grids.grid import Shard
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Once, Ran
from tests.explorer.spaces import SMALL, make
from tests.studies import Events

COMPUTED = ("data", "train", "compress", "lower", "build", "evaluate")


@pytest.fixture(scope="module")
def whole(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A grid of 8 configurations, the 4 of `undisturbed` and those by another algorithm."""

    def run(folder: Path) -> Ran:
        ran = Ran(studies.write_space(folder, models=(studies.SMALL,)), folder / "workspace", Events())
        studies.run_grid(ran.space, ran.workspace, ran.events)
        return ran

    return once.ran("whole", run, tmp_path_factory.mktemp("whole"))


def results(workspace: Path, name: str) -> Any:
    """Return what must be equal however a grid's configurations by gemm came on record."""
    frame = Records(Workspace(workspace).url).frame(name)
    frame = frame[frame["algorithm"] == "gemm"]
    frame = frame.drop(columns=["number", "seconds", *studies.VARYING], errors="ignore")
    return frame.sort_values("configuration_id", ignore_index=True)


@pytest.mark.slow
def test_every_configuration_is_on_record_and_each_stage_executed_as_often_as_counted(whole: Ran) -> None:
    searched = space.load(whole.space)
    assert {c.id for c in whole.events.configurations.values()} == {c.id for c in searched.configurations()}
    assert not any(isinstance(outcome, Failure) for outcome in whole.events.outcomes.values())
    counts = {each.stage: each.distinct for each in dry_run.count(searched)}
    executed = studies.executions(whole.workspace)
    assert executed.pop("measure") >= 2 * counts.pop("measure")
    assert executed == {**counts, "control": 1}
    stored = optuna.load_study(study_name="grid", storage=Workspace(whole.workspace).url).trials
    frame = Records(Workspace(whole.workspace).url).frame("grid")
    assert [trial.number for trial in stored] == frame["number"].to_list() == list(range(8))
    for trial, row in zip(stored, frame.to_dict("records"), strict=True):
        first, *_ = Records(Workspace(whole.workspace).url).sessions.of(row["measure_key"], "local")
        assert trial.values == [row["accuracy"], first.median_ms, row["size_bytes"]], "as the trial ended"


@pytest.mark.slow
def test_it_gives_what_a_search_of_the_grid_gives(whole: Ran, undisturbed: Path) -> None:
    gridded = results(whole.workspace, "grid")
    assert len(gridded) == 4
    assert gridded.equals(results(undisturbed / "workspace", "small"))


@pytest.mark.slow
def test_nothing_is_computed_between_the_measurements_of_this_machine(whole: Ran) -> None:
    stages = [stage for stage in whole.events.stages if stage == "measure" or stage in COMPUTED]
    assert stages[-16:] == ["measure"] * 16
    lowered, compressed = (
        [each for each in whole.events.spans if each.stage == stage] for stage in ("lower", "compress")
    )
    assert any(one.is_beside(other) for one in lowered for other in compressed), "networks compile while others train"


@pytest.mark.slow
def test_a_search_and_a_grid_of_one_study_go_on_with_each_other(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, models=(studies.SMALL,), algorithms=("gemm",))
    studies.run(path, tmp_path / "w", Events(), trials=1)
    events = Events()
    summary = studies.run_grid(path, tmp_path / "w", events, "1/2")
    assert (events.done, events.wanted, summary.added) == (1, 2, 1)
    summary = studies.run(path, tmp_path / "w", Events(), trials=3)
    assert (summary.added, summary.complete) == (1, 3)
    plan = explorer.plan(path, tmp_path / "w")
    assert (plan.configurations, plan.on_record) == (4, 3)
    assert sum(each.left for each in plan.stages) <= 2, "its library, of which one exists, and a measurement"
    assert plan.seconds > 0
    assert plan.unknown == ()
    assert studies.run_grid(path, tmp_path / "w", Events()).complete == 4
    frame = Records(Workspace(tmp_path / "w").url).frame("grid")
    assert frame["configuration_id"].nunique() == len(frame) == 4
    assert explorer.plan(path, tmp_path / "w").stages == ()


@pytest.mark.slow
@pytest.mark.parametrize("stages", [("build",), pytest.param((*COMPUTED, "measure"), marks=pytest.mark.nightly)])
def test_a_grid_killed_in_stages_in_turn_ends_as_an_undisturbed_search(
    stages: tuple[str, ...], undisturbed: Path, tmp_path: Path
) -> None:
    path = studies.write_small(tmp_path)
    for stage in stages:
        command = [sys.executable, "-m", "tests.studies", str(path), str(tmp_path / "killed"), stage, "run_grid"]
        killed = subprocess.run(command, check=False, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert studies.run_grid(path, tmp_path / "killed", Events()).complete == 4
    ended = results(tmp_path / "killed", "small")
    assert len(ended) == 4
    assert ended.equals(results(undisturbed / "workspace", "small"))
    executions = Records(Workspace(tmp_path / "killed").url).executions.frame()
    assert executions[executions["stage"] != "measure"].groupby("key").size().max() == 1


@pytest.mark.slow
def test_what_several_configurations_share_fails_once_for_all_of_them(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed / "workspace" / "artifacts", tmp_path / "w" / "artifacts")
    (tmp_path / "broken.py").write_text("def build(width, classes, shape):\n    raise ValueError('no such network')\n")
    path = studies.write_space(tmp_path, models=("broken:build", studies.SMALL), algorithms=("gemm",))
    events = Events()
    summary = studies.run_grid(path, tmp_path / "w", events)
    assert (summary.complete, summary.failed) == (4, 4)
    failed = [outcome for outcome in events.outcomes.values() if isinstance(outcome, Failure)]
    assert {failure.stage for failure in failed} == {"train"}
    assert events.stages.count("train") == 1


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3"])
def test_refuses_what_is_no_shard(text: str) -> None:
    with pytest.raises(SpaceError, match="is not i/n"):
        Shard.parse(text)


@given(of=st.integers(1, 60))
def test_shards_part_the_grid_into_equal_runs(of: int) -> None:
    shards = [Shard.parse(f"{index}/{of}") for index in range(1, of + 1)]
    parts = [list(shard.configurations(PARTED)) for shard in shards]
    assert [configuration for part in parts for configuration in part] == list(PARTED.configurations())
    assert [len(part) for part in parts] == [shard.size(PARTED) for shard in shards]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture(autouse=True, scope="module")
def _parted(tmp_path_factory: pytest.TempPathFactory) -> None:
    global PARTED
    PARTED = make(tmp_path_factory.mktemp("parted"), SMALL)


PARTED: space.Space


def test_a_continuous_axis_has_no_grid(tmp_path: Path) -> None:
    path = make(tmp_path, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}}).path
    with pytest.raises(SpaceError, match="continuous"):
        explorer.grid(path, tmp_path / "w", observer=Events())
    assert not (tmp_path / "w" / "artifacts").exists()
