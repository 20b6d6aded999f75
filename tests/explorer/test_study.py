"""The Optuna study: no configuration twice, nothing lost between ask and tell, the same proposals after a resume."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from explorer import plugins
from explorer.configuration import Configuration
from explorer.errors import Failure, WorkspaceError
from explorer.records import Record, Records
from explorer.space import Space
from explorer.study import Study
from explorer.workspace import Workspace
from tests.explorer.spaces import SMALL, make

Asked = tuple[int, Configuration]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "w").mkdir()
    return Workspace(tmp_path / "w")


def space(folder: Path, sampler: str, trials: int = 12) -> Space:
    return make(folder, SMALL, sampler=sampler, trials=trials)


def opened(searched: Space, workspace: Workspace) -> Study:
    return Study(searched, workspace, Records(workspace.url))


def outcome(number: int) -> Record | Failure:
    """Return made-up values that depend on the trial alone; every fifth trial fails."""
    if number % 5 == 4:
        return Failure("measure", "crash", "gone")
    return Record({"accuracy": 0.9 + number / 100, "latency_ms": 1.0 + number % 3, "size_bytes": 1000 - number})


def step(study: Study) -> Asked | None:
    if (asked := study.ask()) is not None:
        study.tell(*asked, outcome(asked[0]), 0.1)
    return asked


@pytest.mark.parametrize("sampler", plugins.names("sampler"))
def test_every_configuration_comes_once_and_then_none(sampler: str, tmp_path: Path, workspace: Workspace) -> None:
    searched = space(tmp_path, sampler, trials=searched_count(tmp_path))
    study = opened(searched, workspace)
    asked = [found for _ in range(searched.count) if (found := step(study))]
    assert [number for number, _ in asked] == list(range(searched.count))
    assert {c.id for _, c in asked} == {c.id for c in searched.configurations()}
    assert study.ask() is None
    stored = optuna.load_study(study_name=searched.name, storage=workspace.url).trials
    assert len(stored) == searched.count, "known proposals stay out of the database"
    assert {t.state for t in stored} == {TrialState.COMPLETE, TrialState.FAIL}


def searched_count(folder: Path) -> int:
    return space(folder, "grid").count


@pytest.mark.parametrize("sampler", plugins.names("sampler"))
def test_a_study_opened_anew_for_each_trial_proposes_the_same(sampler: str, tmp_path: Path) -> None:
    searched = space(tmp_path, sampler)
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
    assert Records(workspace.url).count(searched.name) == (1, 0)
    (stored,) = optuna.load_study(study_name=searched.name, storage=workspace.url).trials
    assert stored.values == [0.9, 1.0, 1000]


def test_a_study_of_another_question_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    opened(space(tmp_path, "random"), workspace)
    opened(space(tmp_path, "tpe", trials=5), workspace)  # sampler and trials may change
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other", {**SMALL, "threads": [1, 2, 3]}, sampler="random")
    with pytest.raises(WorkspaceError, match="other axes"):
        opened(other, workspace)
