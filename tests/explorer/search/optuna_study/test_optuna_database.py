"""Optuna's tables of a study: its trials page by page, its notes, the names of its objectives, and new constraints."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.search.optuna_study import optuna_database
from explorer.search.optuna_study.optuna_database import (
    CONFIGURATION,
    TOLD,
    OptunaDatabase,
    trials_of,
    with_constraints,
)
from explorer.space.toml.space_file import Direction

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


def running(number: int) -> FrozenTrial:
    return create_trial(state=TrialState.RUNNING, user_attrs={CONFIGURATION: f"{number}"})


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_trials_come_in_the_order_of_their_numbers_with_their_ids(
    page: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_database, "PAGE", page)
    database, other = OptunaDatabase(url, "one", OBJECTIVES), OptunaDatabase(url, "other", OBJECTIVES)
    added = []
    for number in range(7):
        other.add(running(-number))
        added.append(database.add(running(number)))
    read = list(database.trials())
    assert [trial_id for trial_id, _ in read] == added
    assert [trial.number for _, trial in read] == list(range(7))
    assert [trial.user_attrs[CONFIGURATION] for _, trial in read] == [f"{number}" for number in range(7)]


def test_a_study_without_trials_has_none(url: str) -> None:
    assert list(OptunaDatabase(url, "one", OBJECTIVES).trials()) == []


def test_notes_are_those_of_the_study_or_of_the_others(url: str) -> None:
    for name in ("one", "other"):
        OptunaDatabase(url, name, OBJECTIVES).note("asked", {"of": name})
    optuna.create_study(study_name="somebody's", storage=url)
    again = OptunaDatabase(url, "one", OBJECTIVES)
    assert again.notes == {"asked": {"of": "one"}}
    assert again.notes_of_others("asked") == {"other": {"of": "other"}, "somebody's": None}


@pytest.mark.filterwarnings("error")
def test_objectives_get_their_names_in_a_study_that_had_none(url: str) -> None:
    optuna.create_study(study_name="old", storage=url, directions=list(OBJECTIVES.values()))
    for _ in range(2):
        OptunaDatabase(url, "old", OBJECTIVES).name_objectives()
    assert optuna.load_study(study_name="old", storage=url).metric_names == ["accuracy", "latency_ms"]


def test_a_trial_that_ends_has_values_constraints_and_what_it_was_told(url: str) -> None:
    database = OptunaDatabase(url, "one", OBJECTIVES)
    complete, failed = (database.add(running(number)) for number in range(2))
    database.tell(complete, TrialState.COMPLETE, [0.9, 1.0], {"seconds": 2.0}, {"latency_ms <= 1": 0.0})
    database.tell(failed, TrialState.FAIL, None, {"seconds": 3.0}, {})
    first, second = optuna.load_study(study_name="one", storage=url).trials
    assert (first.state, first.values, first.constraints) == (TrialState.COMPLETE, [0.9, 1.0], {"latency_ms <= 1": 0.0})
    assert first.user_attrs[TOLD] == {"seconds": 2.0}
    assert (second.state, second.values, second.constraints) == (TrialState.FAIL, None, {})


def test_constraints_are_replaced_in_a_copy_and_nothing_else() -> None:
    told = create_trial(value=1.0, system_attrs={"_Sampler:generation": 3}, constraints={"a": 1.0, "b": 0.0})
    changed = with_constraints(told, {"b": 2.0})
    assert changed.constraints == {"b": 2.0}
    assert changed.system_attrs["_Sampler:generation"] == 3
    assert told.constraints == {"a": 1.0, "b": 0.0}
    assert with_constraints(told, {}).constraints == {}


def test_some_trials_of_a_study_are_read_by_their_numbers(url: str) -> None:
    for storage in (None, url):
        study = optuna.create_study(storage=storage)
        for number in range(5):
            study.add_trial(running(number))
        assert [trial.number for trial in trials_of(study, [3, 1])] == [3, 1]
