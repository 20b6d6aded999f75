"""NSGA-II: its first generation may have been proposed by another sampler."""

from __future__ import annotations

from pathlib import Path

import optuna

from explorer.search.samplers import nsga2, random
from explorer.search.samplers._genetic import GENERATION
from tests.explorer.simulated import DIRECTIONS, ask, search
from tests.explorer.spaces import SMALL, make


def test_trials_of_another_sampler_are_its_first_generation_if_it_is_told_so(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, trials=32)
    generations = {}
    for first in (0, 12):
        study = optuna.create_study(directions=DIRECTIONS, sampler=random.build(space, 0))
        search(space, study, 12)
        study.sampler = nsga2.build(space, 0, first)
        trial, _ = ask(space, study)
        generations[first] = (study.trials[-1].system_attrs[GENERATION], bool(trial.relative_params))
    assert generations == {0: (0, False), 12: (1, True)}
