"""Genetic algorithms: many generations, and crossover of parents with different parameters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection

from explorer.search.samplers._genetic import GENERATION, Generations, _dominates
from tests.explorer.simulated import CONSTRAINTS, ask, search, study_of
from tests.explorer.spaces import SMALL, make


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_genetic_studies_of_many_generations_are_gone_on_with(sampler: str, tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler=sampler, trials=1)
    study = study_of(space)
    search(space, study, 12)
    [generation] = [name for name in study.trials[-1].system_attrs if name.endswith("generation")]
    assert generation == GENERATION == "_Sampler:generation", "as trials on record have it"
    past = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))[-1]
    resumed = study_of(space)
    for number in range(400 * 8):  # more than Python lets a function call itself
        past.system_attrs = {**past.system_attrs, generation: number // 8}
        resumed.add_trial(past)
    trial, _ = ask(space, resumed)
    assert resumed.trials[-1].system_attrs[generation] == 400
    assert trial.relative_params


def test_parents_are_taken_from_the_generations_before(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler="nsga2", trials=32)
    study = study_of(space)
    search(space, study, 30)
    found = [trial.system_attrs[GENERATION] for trial in study.trials]
    assert found == sorted(found)
    assert found[-1] >= 2
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    study.ask()
    by_generation = Generations(first=0).before(study, study.trials[-1])
    assert {number: len(trials) for number, trials in by_generation.items()} == Counter(
        trial.system_attrs[GENERATION] for trial in complete
    )
    assert all(len(trials) == 8 for number, trials in by_generation.items() if number < found[-1])


def trial(values: list[float], **constraints: float) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(values=values, constraints=constraints)


def test_what_breaks_limits_less_dominates_and_then_what_is_better() -> None:
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    assert _dominates(trial([0.9, 1.0]), trial([0.9, 2.0]), directions)
    assert not _dominates(trial([0.9, 1.0]), trial([0.9, 1.0]), directions)
    assert not _dominates(trial([0.8, 1.0]), trial([0.9, 2.0]), directions)
    assert _dominates(trial([0.1, 9.0], a=0.1), trial([0.9, 1.0], a=0.0, b=0.2), directions)
