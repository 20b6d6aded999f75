"""The Optuna study: no configuration twice, nothing lost between ask and tell, the same proposals after a resume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

import explorer
from explorer.core import plugins
from explorer.core.configuration import Configuration
from explorer.core.errors import DOMINATED, Failure, WorkspaceError
from explorer.search.optuna_study.study import Study
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.explorer.spaces import FEW_SAMPLERS, SMALL, make

Asked = tuple[int, Configuration]
LIMITS = ("latency_ms <= 2", "accuracy >= 0.92", "latency_ms <= 1 on local")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "w").mkdir()
    return Workspace(tmp_path / "w")


def space(folder: Path, sampler: str, trials: int = 12, limits: Sequence[str] = ()) -> Space:
    return make(folder, SMALL, sampler=sampler, trials=trials, limits=limits)


def opened(searched: Space, workspace: Workspace) -> Study:
    return Study(searched, workspace, Records(workspace.url))


def outcome(number: int) -> Record | Failure:
    """Return made-up values that depend on the trial alone; every fifth trial fails, and the eighth is skipped."""
    if number % 5 == 4:
        return Failure("measure", "crash", "gone")
    if number == 7:
        return Failure("compress", DOMINATED, "not trained")
    return Record({"accuracy": 0.9 + number / 100, "latency_ms": 1.0 + number % 3, "size_bytes": 1000 - number})


def step(study: Study) -> Asked | None:
    if (asked := study.ask()) is not None:
        study.tell(*asked, outcome(asked[0]), 0.1)
    return asked


@pytest.mark.parametrize("sampler", FEW_SAMPLERS)
def test_every_configuration_comes_once_and_then_none(sampler: str, tmp_path: Path, workspace: Workspace) -> None:
    searched = space(tmp_path, sampler, trials=searched_count(tmp_path))
    study = opened(searched, workspace)
    asked = [found for _ in range(searched.count) if (found := step(study))]
    assert [number for number, _ in asked] == list(range(searched.count))
    assert {c.id for _, c in asked} == {c.id for c in searched.configurations()}
    assert study.ask() is None
    stored = optuna.load_study(study_name=searched.name, storage=workspace.url).trials
    assert len(stored) == searched.count, "known proposals stay out of the database"
    assert {t.state for t in stored} == {TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED}


def searched_count(folder: Path) -> int:
    return space(folder, "grid").count


@pytest.mark.parametrize("limits", [(), LIMITS])
@pytest.mark.parametrize("sampler", FEW_SAMPLERS)
def test_a_study_opened_anew_for_each_trial_proposes_the_same(
    sampler: str, limits: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.search.optuna_study.optuna_database.PAGE", 3)  # trials are read in several parts
    searched = space(tmp_path, sampler, limits=limits)
    places = []
    for name in ("undisturbed", "resumed"):
        (tmp_path / name).mkdir()
        places.append(Workspace(tmp_path / name))
    undisturbed = opened(searched, places[0])
    expected = [step(undisturbed) for _ in range(10)]
    assert [step(opened(searched, places[1])) for _ in range(10)] == expected


@pytest.mark.parametrize("sampler", plugins.names("sampler"))
def test_a_trial_cut_off_before_its_end_comes_again(sampler: str, tmp_path: Path, workspace: Workspace) -> None:
    searched = space(tmp_path, sampler)
    first = opened(searched, workspace)
    step(first)
    cut_off = [first.ask(), first.ask()]
    second = opened(searched, workspace)
    assert [second.ask(), second.ask()] == cut_off
    assert second.ask() not in cut_off


def test_a_trial_cut_off_after_its_record_is_not_evaluated_again(tmp_path: Path, workspace: Workspace) -> None:
    searched = space(tmp_path, "random")
    first = opened(searched, workspace)
    asked = first.ask()
    assert asked is not None
    assert first.outcome(asked[0]) is None
    Records(workspace.url).add_trial(searched.name, *asked, outcome(0), 0.1)
    second = opened(searched, workspace)
    assert second.ask() == asked
    assert second.outcome(asked[0]) == outcome(0)
    second.tell(*asked, outcome(0), 0.1)
    assert Records(workspace.url).count(searched.name) == (1, 0, 0)
    (stored,) = optuna.load_study(study_name=searched.name, storage=workspace.url).trials
    assert stored.values == [0.9, 1.0, 1000]


def test_a_study_of_another_question_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    opened(space(tmp_path, "random"), workspace)
    opened(space(tmp_path, "tpe", trials=5), workspace)  # sampler and trials may change
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other", {**SMALL, "threads": [1, 2, 3]}, sampler="random")
    with pytest.raises(WorkspaceError, match="other axes"):
        opened(other, workspace)


def test_the_objectives_of_a_study_have_their_names_also_in_one_that_began_without(
    tmp_path: Path, workspace: Workspace
) -> None:
    searched = space(tmp_path, "random")
    first = opened(searched, workspace)
    step(first)
    names = ["accuracy", "latency_ms", "size_bytes"]
    assert optuna.load_study(study_name=searched.name, storage=workspace.url).metric_names == names
    with Records(workspace.url).engine.begin() as connection:  # as the version before left it
        deleted = connection.execute(sa.text("DELETE FROM study_system_attributes WHERE key = 'study:metric_names'"))
        assert deleted.rowcount == 1
    (tmp_path / "other").mkdir()
    with pytest.raises(WorkspaceError, match="other axes"):
        opened(make(tmp_path / "other", {**SMALL, "threads": [1, 2, 3]}, sampler="random"), workspace)
    assert optuna.load_study(study_name=searched.name, storage=workspace.url).metric_names is None
    step(opened(searched, workspace))
    assert optuna.load_study(study_name=searched.name, storage=workspace.url).metric_names == names


def stored(searched: Space, workspace: Workspace) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=searched.name, storage=workspace.url).trials


def mirrored(study: Study) -> list[dict[str, float]]:
    trials = study._mirror.study.get_trials(states=(TrialState.COMPLETE,))
    return [trial.constraints for trial in trials]


def test_a_complete_trial_has_its_violation_of_every_limit(tmp_path: Path, workspace: Workspace) -> None:
    searched = space(tmp_path, "random", limits=["latency_ms <= 2", "accuracy >= 0.92", "size_bytes <= 500"])
    study = opened(searched, workspace)
    for _ in range(5):
        step(study)
    trials = stored(searched, workspace)
    expected = [max(0, latency - 2) / 2 for latency in (1, 2, 3, 1)]
    assert [trial.constraints["latency_ms <= 2"] for trial in trials[:4]] == expected
    assert trials[0].constraints["accuracy >= 0.92"] == pytest.approx(0.02 / 0.92)
    assert trials[2].constraints["accuracy >= 0.92"] == 0
    assert trials[2].constraints["size_bytes <= 500"] == pytest.approx(498 / 500)
    assert trials[4].constraints == {}, "a failed trial has no values"
    assert mirrored(study) == mirrored(opened(searched, workspace)) == [trial.constraints for trial in trials[:4]]


def test_a_limit_on_another_device_is_kept(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "devices.toml").write_text('[board]\ntracker = "lan:9190"\ntarget = { kind = "llvm" }\n')
    axes = {**SMALL, "device": ["local", "board"]}
    searched = make(tmp_path, axes, sampler="random", trials=12, limits=["size_bytes <= 1 on board"])
    study = opened(searched, workspace)
    asked = [step(study) for _ in range(12)]
    found = {(a[1].device, bool(t.constraints["size_bytes <= 1 on board"]))
             for a, t in zip(asked, stored(searched, workspace), strict=True) if a and t.values}  # fmt: skip
    assert found == {("local", False), ("board", True)}


def test_limits_that_change_hold_for_the_trials_before(tmp_path: Path, workspace: Workspace) -> None:
    first = opened(space(tmp_path, "nsga2", limits=["latency_ms <= 2"]), workspace)
    for _ in range(4):
        step(first)
    changed = space(tmp_path, "nsga2", limits=["accuracy >= 0.92"])
    second = opened(changed, workspace)
    assert [bool(c["accuracy >= 0.92"]) for c in mirrored(second)] == [True, True, False, False]
    assert {name for constraints in mirrored(second) for name in constraints} == {"accuracy >= 0.92"}
    assert [list(trial.constraints) for trial in stored(changed, workspace)] == [["latency_ms <= 2"]] * 4
    assert explorer.study_limits(workspace.root) == changed.limits
    without = space(tmp_path, "nsga2")
    assert mirrored(opened(without, workspace)) == [{}] * 4
    assert explorer.study_limits(workspace.root) == ()


@pytest.mark.filterwarnings("error")
def test_a_trial_cut_off_while_it_is_told_keeps_its_constraints(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = space(tmp_path, "random", limits=LIMITS)
    first = opened(searched, workspace)
    asked = first.ask()
    assert asked is not None
    monkeypatch.setattr(first._database._storage, "set_trial_state_values", interrupt)
    with pytest.raises(KeyboardInterrupt):
        first.tell(*asked, outcome(0), 0.1)
    second = opened(searched, workspace)
    assert second.ask() == asked
    second.tell(*asked, outcome(0), 0.1)
    (trial,) = stored(searched, workspace)
    assert trial.state == TrialState.COMPLETE
    assert trial.constraints.keys() == set(LIMITS)
    assert mirrored(second) == [trial.constraints]


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt
