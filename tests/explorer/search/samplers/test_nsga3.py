"""NSGA-III: with four objectives, the parents that it keeps are dominated by none that it leaves out."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.study import StudyDirection

from explorer.search.optuna_study.optuna_database import storage_of
from explorer.search.samplers import nsga3
from explorer.search.samplers._genetic import GENERATION, PARENTS, _dominates
from tests.explorer.simulated import ask, measured
from tests.explorer.spaces import SMALL, make


def test_of_four_objectives_the_best_survive(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, sampler="nsga3", trials=32)
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * 3]
    study = optuna.create_study(directions=directions, sampler=nsga3.build(space, 0))
    for _ in range(17):  # two generations of eight, and the first of the third
        trial, configuration = ask(space, study)
        size = (configuration.model == "resnet18") * 3 - (configuration.ratio or 0)
        study.tell(trial, [*measured(configuration), size, configuration.threads])
    trials = study.trials
    assert [trial.system_attrs[GENERATION] for trial in trials] == [0] * 8 + [1] * 8 + [2]
    storage, study_id = storage_of(study)
    kept = storage.get_study_system_attrs(study_id)[f"{PARENTS}2"]
    assert len(set(kept)) == 8
    left_out = [trial for trial in trials[:16] if trial.number not in kept]
    for number in kept:
        assert not [other for other in left_out if _dominates(other, trials[number], study.directions)]
    assert [one for one in trials[:16] for other in left_out if _dominates(one, other, study.directions)]
