"""A sampler's proposal depends on seed and number alone, and on what is remembered of the trials before."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import create_trial

from explorer.core.errors import ExplorerError
from explorer.search.optuna_study.optuna_database import CONFIGURATION, TOLD
from explorer.search.optuna_study.sampling import PerTrialSeed, Seen, interval, sampler_of, seconds
from tests.explorer.spaces import SMALL, make


def proposals(seed: int, numbers: int, asked: tuple[str, ...]) -> list[dict[str, float]]:
    study = optuna.create_study(sampler=PerTrialSeed(lambda own: RandomSampler(seed=own), seed))
    found = []
    for _ in range(numbers):
        trial = study.ask()
        found.append({name: trial.suggest_float(name, 0, 1) for name in asked})
        study.tell(trial, 0.0)
    return found


def test_a_proposal_does_not_depend_on_the_order_of_its_parameters() -> None:
    assert proposals(1, 4, ("a", "b")) == proposals(1, 4, ("b", "a"))
    assert proposals(1, 4, ("a",)) == [{"a": found["a"]} for found in proposals(1, 4, ("b", "a"))]


def test_seeds_trials_and_parameters_have_proposals_of_their_own() -> None:
    found = [value for seed in (1, 2) for each in proposals(seed, 3, ("a", "b")) for value in each.values()]
    assert len(set(found)) == 12


def test_each_trial_is_read_once() -> None:
    study, seen = optuna.create_study(), Seen()
    for name in ("a", "b"):
        study.ask().set_user_attr(CONFIGURATION, name)
    study.ask()
    third, fourth = study.trials[2], study.ask()
    assert seen.before(study, third) == {"a", "b"}
    fourth.set_user_attr(CONFIGURATION, "c")
    assert seen.before(study, study.trials[3]) == {"a", "b"}, "what comes after it does not count"
    study.ask()
    assert seen.before(study, study.trials[4]) == {"a", "b", "c"}


def test_an_interval_that_is_not_known_is_its_value() -> None:
    told = {"seconds": 2.0, "interval": [[0.8, 0.95], [1.0, 1.0]]}
    assert interval(create_trial(values=[0.9, 1.0], user_attrs={TOLD: told})) == told["interval"]
    assert interval(create_trial(values=[0.9, 1.0])) == [[0.9, 0.9], [1.0, 1.0]]
    assert seconds(create_trial(values=[0.9], user_attrs={TOLD: told})) == 2.0
    assert seconds(create_trial(values=[0.9])) is None


def test_the_sampler_of_a_space_with_rungs_proposes_on_the_lowest(tmp_path: Path) -> None:
    space = make(tmp_path, {**SMALL, "tuning_trials": [0, 8]}, sampler="grid", rungs="tuning_trials")
    study = optuna.create_study(sampler=sampler_of(space))
    found = []
    for _ in range(space.lowest.count):
        trial = study.ask()
        configuration = space.lowest.suggest(trial)
        trial.set_user_attr(CONFIGURATION, configuration.id)
        found.append(configuration)
    assert found == list(space.lowest.configurations())


def test_an_unknown_sampler_is_refused(tmp_path: Path) -> None:
    space = make(tmp_path)
    unknown = space.search.model_copy(update={"sampler": "gird"})
    object.__setattr__(space, "search", unknown)
    with pytest.raises(ExplorerError, match=r"unknown sampler 'gird'.*did you mean 'grid'"):
        sampler_of(space)
