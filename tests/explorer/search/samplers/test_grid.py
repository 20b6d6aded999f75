"""The grid: every configuration once, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.core.errors import SpaceError
from tests.explorer.simulated import CONSTRAINTS, ask, search, study_of
from tests.explorer.spaces import SMALL, make


def test_the_grid_visits_every_configuration_once_in_order(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, CONSTRAINTS, sampler="grid")
    study = study_of(space)
    search(space, study, space.count)
    visited = [trial.user_attrs["configuration"] for trial in study.trials]
    assert visited == [configuration.id for configuration in space.configurations()]


def test_the_grid_gives_parallel_trials_different_configurations(tmp_path: Path) -> None:
    space = make(tmp_path, sampler="grid")
    study = study_of(space)
    running = [ask(space, study)[1] for _ in range(3)]
    assert running == list(space.configurations())[:3]


def test_the_grid_refuses_continuous_axes(tmp_path: Path) -> None:
    space = make(tmp_path, {**SMALL, "ratio": {"low": 0.2, "high": 0.9}}, sampler="grid")
    with pytest.raises(SpaceError, match="give its range a step"):
        study_of(space)
