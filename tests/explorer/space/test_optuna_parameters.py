"""Configurations and Optuna's parameters lead to each other, and every suggestion is valid."""

from __future__ import annotations

import tempfile
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from tests.explorer.drawn import DRAWN_AXES, drawn_constraints
from tests.explorer.spaces import SMALL, make

optuna.logging.set_verbosity(optuna.logging.WARNING)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_every_suggestion_is_valid_and_its_parameters_lead_back_to_it(data: st.DataObject) -> None:
    axes = data.draw(DRAWN_AXES)
    constraints = data.draw(drawn_constraints(axes))
    with tempfile.TemporaryDirectory() as folder:
        try:
            drawn = make(Path(folder), axes, constraints)
        except SpaceError:
            assume(False)
        valid = set(drawn.configurations())
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=data.draw(st.integers(0, 99))))
        for _ in range(5):
            trial = study.ask()
            suggested = drawn.suggest(trial)
            assert suggested in valid
            assert drawn.parameters(suggested) == pytest.approx(trial.params)
        wanted = data.draw(st.sampled_from(sorted(valid, key=repr)))
        study.enqueue_trial(drawn.parameters(wanted))
        assert drawn.suggest(study.ask()) == wanted


def test_a_part_of_the_choices_is_a_parameter_of_its_own(tmp_path: Path) -> None:
    axes = {**SMALL, "threads": [1, 2, 4]}
    drawn = make(tmp_path, axes, [{"when": {"model": "mobilenetv2"}, "require": {"threads": [1, 2]}}])
    small = drawn.parameters(Configuration("digits", "mobilenetv2", compression="none", threads=2))
    large = drawn.parameters(Configuration("digits", "resnet18", compression="none", threads=2))
    assert small == {"model": "mobilenetv2", "compression": "none", "algorithm": "direct", "threads[1,2]": 2}
    assert large == {"model": "resnet18", "compression": "none", "algorithm": "direct", "threads": 2}


def test_a_configuration_outside_the_space_has_no_parameters(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="no configuration with threads 8"):
        make(tmp_path).parameters(Configuration("digits", "resnet18", threads=8))


def test_channel_multiples_are_suggested_where_channels_are_removed(tmp_path: Path) -> None:
    for listed, expected in (({}, {8}), ({"channel_multiple": [1, 16, "vector"]}, {1, 16, "vector"})):
        drawn = make(tmp_path, {**SMALL, **listed})
        study = optuna.create_study()
        suggested = {drawn.suggest(study.ask()).channel_multiple for _ in range(60)}
        assert suggested == {*expected, None}
        assert all(
            drawn.parameters(c).get("channel_multiple", c.channel_multiple) == c.channel_multiple
            for c in drawn.configurations()
        )


def test_steps_of_a_range_are_suggested_as_written(tmp_path: Path) -> None:
    axes = {**SMALL, "compression": "weight_pruning", "ratio": {"low": 0.3, "high": 0.95, "step": 0.1}}
    drawn = make(tmp_path, axes)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    suggested = {drawn.suggest(study.ask()).ratio for _ in range(60)}
    assert suggested == set(drawn.axes["ratio"].choices)


def test_a_continuous_ratio_is_suggested_within_its_range(tmp_path: Path) -> None:
    drawn = make(tmp_path, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(40)]
    configurations = [drawn.suggest(trial) for trial in trials]
    ratios = [c.ratio for c in configurations if c.ratio is not None]
    assert all(0.3 <= ratio <= 0.9 for ratio in ratios)
    assert len(set(ratios)) == len(ratios) > 10
    assert all(drawn.parameters(c) == trial.params for c, trial in zip(configurations, trials, strict=True))
