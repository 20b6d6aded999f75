from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from explorer.core.configuration import AXES, Configuration, takes_ratio, why_invalid
from explorer.core.errors import SpaceError
from explorer.space import space
from explorer.space.space import Space
from tests.explorer.spaces import SMALL, make

optuna.logging.set_verbosity(optuna.logging.WARNING)


def some(*choices: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(choices), min_size=1, unique=True)


DRAWN_AXES = st.fixed_dictionaries(
    {"dataset": st.just(["digits"]), "model": some("mobilenetv2", "resnet18")},
    optional={
        "width": some(0.25, 0.5, 1.0),
        "compression": some("none", "weight_pruning", "int8", "weight_pruning+float16", "float16+channel_pruning"),
        "channel_multiple": some(1, 8, "vector"),
        "ratio": some(0.3, 0.5, 0.9) | st.just({"low": 0.2, "high": 0.8, "step": 0.2}),
        "algorithm": some("direct", "gemm", "winograd"),
        "format": some("dense", "csr"),
        "tuning_trials": some(0, 64),
        "threads": some(1, 2, 4) | st.just({"low": 1, "high": 3}),
    },
)


@st.composite
def drawn_constraints(draw: st.DrawFn, axes: dict[str, Any]) -> list[dict[str, Any]]:
    listed = [name for name, choices in axes.items() if isinstance(choices, list)]
    condition = st.sampled_from(listed).flatmap(
        lambda name: st.fixed_dictionaries({name: st.sampled_from(axes[name]) | some(*axes[name])})
    )
    parts = st.sampled_from(["require", "forbid"])
    return [{"when": draw(condition), draw(parts): draw(condition)} for _ in range(draw(st.integers(0, 2)))]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def holds(configuration: Configuration, condition: dict[str, Any]) -> bool:
    return all(getattr(configuration, axis) in listed(allowed) for axis, allowed in condition.items())


def allowed(configuration: Configuration, constraint: dict[str, Any]) -> bool:
    """Say it again, in other words than `Constraint` does."""
    if not holds(configuration, constraint["when"]):
        return True
    exists = [axis for axis in AXES if getattr(configuration, axis) is not None]
    required = {axis: value for axis, value in constraint.get("require", {}).items() if axis in exists}
    return holds(configuration, required) and not (
        "forbid" in constraint and any(holds(configuration, {a: v}) for a, v in constraint["forbid"].items())
    )


def expanded(name: str, value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [0.2, 0.4, 0.6, 0.8] if name == "ratio" else [1, 2, 3]
    return list(value)


def brute_force(axes: dict[str, Any], constraints: list[dict[str, Any]]) -> list[Configuration]:
    """Every combination, filtered; what nothing takes, such as a ratio without a compression that removes, is None."""
    lists = {name: expanded(name, value) for name, value in axes.items()}
    lists["ratio"] = [*lists.get("ratio", []), None]
    lists["channel_multiple"] = [*lists.get("channel_multiple", [8]), None]
    lists["tuner"] = ["template", None]
    points = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    valid = [c for c in (Configuration(**point) for point in points) if why_invalid(c) is None]
    return [c for c in valid if all(allowed(c, constraint) for constraint in constraints)]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_configurations_are_the_brute_force_product_filtered_by_the_rules(data: st.DataObject) -> None:
    axes = data.draw(DRAWN_AXES)
    constraints = data.draw(drawn_constraints(axes))
    expected = brute_force(axes, constraints)
    with tempfile.TemporaryDirectory() as folder:
        try:
            drawn = make(Path(folder), axes, constraints)
        except SpaceError:
            used = {(axis, getattr(c, axis)) for c in expected for axis in axes}
            choices = {(axis, v) for axis, value in axes.items() if isinstance(value, list) for v in value}
            assert choices - used or not expected
            return
        found = list(drawn.configurations())
        assert drawn.count == len(found) == len(expected)
        assert set(found) == set(expected)
        assert len({configuration.id for configuration in found}) == len(found)


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


def test_the_order_is_lexicographic_in_the_axes(tmp_path: Path) -> None:
    drawn = make(tmp_path)
    axes = [axis for axis in AXES if axis not in ("ratio", "channel_multiple")]
    ranks = [
        [drawn.axes[name].choices.index(getattr(configuration, name)) for name in axes]
        for configuration in drawn.configurations()
        if configuration.ratio in (None, 0.5)
    ]
    assert ranks == sorted(ranks)
    assert drawn.count == 2 * (1 + 2 * 2) * 2 * 2


def test_channels_are_kept_in_multiples_of_8_unless_others_are_listed(tmp_path: Path) -> None:
    for listed, expected in (({}, {8}), ({"channel_multiple": [1, 16, "vector"]}, {1, 16, "vector"})):
        drawn = make(tmp_path, {**SMALL, **listed})
        found = list(drawn.configurations())
        pruned = {c.channel_multiple for c in found if c.compression == "channel_pruning"}
        assert pruned == expected
        assert {c.channel_multiple for c in found if c.compression != "channel_pruning"} == {None}
        study = optuna.create_study()
        suggested = {drawn.suggest(study.ask()).channel_multiple for _ in range(60)}
        assert suggested == {*expected, None}
        assert all(drawn.parameters(c).get("channel_multiple", c.channel_multiple) == c.channel_multiple for c in found)


def test_the_ratio_exists_exactly_where_the_compression_takes_one(tmp_path: Path) -> None:
    for configuration in make(tmp_path).configurations():
        assert (configuration.ratio is not None) == takes_ratio(configuration.compression)


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


def test_a_range_with_a_step_has_the_values_as_written(tmp_path: Path) -> None:
    axes = {**SMALL, "compression": "weight_pruning", "ratio": {"low": 0.3, "high": 0.95, "step": 0.1}}
    drawn = make(tmp_path, axes)
    assert drawn.axes["ratio"].choices == (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    suggested = {drawn.suggest(study.ask()).ratio for _ in range(60)}
    assert suggested == set(drawn.axes["ratio"].choices)


def continuous(folder: Path) -> Space:
    return make(folder, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}})


def test_a_continuous_axis_counts_as_one_and_is_named(tmp_path: Path) -> None:
    drawn = continuous(tmp_path)
    assert drawn.continuous == ("ratio",)
    assert drawn.count == 2 * (1 + 2 * 1) * 2 * 2
    assert drawn.size == "24 configurations x continuous ratio"
    with pytest.raises(SpaceError, match="ratio is continuous; give its range a step"):
        next(drawn.configurations())


def test_a_continuous_ratio_is_suggested_within_its_range(tmp_path: Path) -> None:
    drawn = continuous(tmp_path)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(40)]
    configurations = [drawn.suggest(trial) for trial in trials]
    ratios = [c.ratio for c in configurations if c.ratio is not None]
    assert all(0.3 <= ratio <= 0.9 for ratio in ratios)
    assert len(set(ratios)) == len(ratios) > 10
    assert all(drawn.parameters(c) == trial.params for c, trial in zip(configurations, trials, strict=True))


def test_unseen_draws_every_configuration_once_and_then_none(tmp_path: Path) -> None:
    drawn = make(tmp_path)
    seen: set[str] = set()
    for seed in range(drawn.count):
        found = space.unseen(drawn, seen, seed)
        assert found is not None
        assert found.id not in seen
        seen.add(found.id)
    assert space.unseen(drawn, seen, 0) is None


def test_unseen_is_uniform_and_repeatable(tmp_path: Path) -> None:
    drawn = make(tmp_path)  # 40 configurations; half of them are seen
    seen = {configuration.id for index, configuration in enumerate(drawn.configurations()) if index % 2}
    draws = [space.unseen(drawn, seen, seed) for seed in range(2000)]
    assert draws == [space.unseen(drawn, seen, seed) for seed in range(2000)]
    counts = [draws.count(configuration) for configuration in drawn.configurations() if configuration.id not in seen]
    assert sum(counts) == 2000
    assert 60 < min(counts) <= max(counts) < 145  # 100 expected, standard deviation 10


def test_unseen_draws_from_continuous_axes(tmp_path: Path) -> None:
    drawn = continuous(tmp_path)
    seen = {c.id for c in (space.unseen(drawn, (), seed) for seed in range(50)) if c}
    found = space.unseen(drawn, seen, 0)
    assert found is not None
    assert found.id not in seen
    assert found.ratio is None or 0.3 <= found.ratio <= 0.9


def test_a_large_grid_is_counted_and_drawn_from_quickly(tmp_path: Path) -> None:
    axes = {
        **SMALL,
        "width": [0.25, 0.5, 1.0],
        "ratio": {"low": 0.05, "high": 0.95, "step": 0.05},
        "tuning_trials": [0, 16, 64, 256],
        "threads": {"low": 1, "high": 32},
    }
    drawn = make(tmp_path, axes)
    assert drawn.count == 2 * 3 * (1 + 2 * 19) * 2 * 4 * 32
    assert space.unseen(drawn, (), 0) in set(itertools.islice(drawn.configurations(), drawn.count))


def test_overrides_of_the_search_are_checked(tmp_path: Path) -> None:
    drawn = make(tmp_path)
    changed = drawn.searched(sampler="grid", trials=5, seed=0)
    assert (changed.sampler, changed.trials, changed.search.seed) == ("grid", 5, 0)
    assert drawn.searched() == drawn
    with pytest.raises(SpaceError, match=r"unknown sampler 'gird'.*did you mean 'grid'"):
        drawn.searched(sampler="gird")
    with pytest.raises(SpaceError, match="trials 0"):
        drawn.searched(trials=0)


def test_limits_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    texts = ["latency_ms <= 5 on local", "accuracy >= 0.9", "latency_ms <= 8"]
    drawn = make(tmp_path, limits=texts)
    assert [str(limit) for limit in drawn.limits] == texts
    assert drawn.lowest.limits == drawn.whole.limits == drawn.limits
    assert make(tmp_path).limits == ()


def test_without_a_number_of_trials_the_space_decides(tmp_path: Path) -> None:
    assert make(tmp_path).trials == 40
    assert make(tmp_path, {**SMALL, "threads": {"low": 1, "high": 64}}).trials == 100
    assert make(tmp_path, {**SMALL, "threads": {"low": 1, "high": 64}}, sampler="grid").trials == 40 * 32


def test_the_quickstart_is_a_space_of_its_own_devices() -> None:
    quickstart = space.load(Path("quickstart"))
    assert (quickstart.name, quickstart.trials, quickstart.sampler, quickstart.search.seed) == (
        "quickstart",
        36,
        "auto",
        0,
    )
    assert quickstart.count > 36
    assert {configuration.device for configuration in quickstart.configurations()} == {"local"}
