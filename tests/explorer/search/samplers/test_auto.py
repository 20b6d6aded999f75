"""The default sampler: the process first, then the genetic algorithm from the best of its trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.search.optuna_study.optuna_database import storage_of
from tests.explorer.simulated import CONSTRAINTS, search, study_of
from tests.explorer.spaces import SMALL, make


def test_many_trials_are_proposed_by_the_genetic_algorithm_from_the_best_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.search.samplers.auto.FEW", 16)
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler="auto", trials=32)
    study = study_of(space)
    search(space, study, 24)
    generations = [
        [value for name, value in trial.system_attrs.items() if name.endswith(":generation")] for trial in study.trials
    ]
    assert generations == [[]] * 16 + [[1]] * 8
    storage, study_id = storage_of(study)
    (parents,) = (ids for name, ids in storage.get_study_system_attrs(study_id).items() if name.endswith(":1"))
    assert parents
    assert max(parents) < 16
