"""The estimator: random at first, for a share of the study, and then over all parameters at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.explorer.simulated import ask, measured, search, study_of
from tests.explorer.spaces import SMALL, make


@pytest.mark.parametrize(("trials", "startup"), [(10, 4), (30, 6), (200, 10)])
def test_a_fifth_of_a_study_is_random_ten_trials_at_most(trials: int, startup: int, tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, sampler="tpe", trials=trials)
    study, learnt = study_of(space), []
    for _ in range(startup + 3):
        trial, configuration = ask(space, study)
        learnt.append(bool(trial.relative_params))
        study.tell(trial, measured(configuration))
    assert learnt == [False] * startup + [True] * 3


def test_parameters_that_only_some_trials_have_are_proposed_jointly(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, sampler="tpe", trials=20)
    study = study_of(space)
    search(space, study, 14)
    relative = study.ask().relative_params
    assert {"model", "compression", "ratio", "algorithm", "threads"} <= relative.keys()
