"""A search space as a whole: its size, what is drawn from it, and the parts of it that are searched."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from explorer.core.errors import SpaceError
from explorer.space import space
from explorer.space.space import Space
from tests.explorer.spaces import SMALL, make


def continuous(folder: Path) -> Space:
    return make(folder, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}})


def test_a_continuous_axis_counts_as_one_and_is_named(tmp_path: Path) -> None:
    drawn = continuous(tmp_path)
    assert drawn.continuous == ("ratio",)
    assert drawn.count == 2 * (1 + 2 * 1) * 2 * 2
    assert drawn.size == "24 configurations x continuous ratio"
    with pytest.raises(SpaceError, match="ratio is continuous; give its range a step"):
        next(drawn.configurations())


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


@pytest.mark.parametrize("ratio", [[0.5, 0.75], {"low": 0.3, "high": 0.9}])
def test_many_drawn_at_once_are_those_drawn_one_by_one(ratio: object, tmp_path: Path) -> None:
    drawn = make(tmp_path, {**SMALL, "ratio": ratio})
    one, other = Random(0), Random(0)
    assert drawn.draw_distinct(one, 100) == list(dict.fromkeys(drawn.draw(other) for _ in range(100)))
    assert one.getstate() == other.getstate()


def test_overrides_of_the_search_are_checked(tmp_path: Path) -> None:
    drawn = make(tmp_path)
    changed = drawn.searched(sampler="grid", trials=5, seed=0)
    assert (changed.sampler, changed.trials, changed.search.seed) == ("grid", 5, 0)
    assert drawn.searched() == drawn
    with pytest.raises(SpaceError, match=r"unknown sampler 'gird'.*did you mean 'grid'"):
        drawn.searched(sampler="gird")
    with pytest.raises(SpaceError, match="trials 0"):
        drawn.searched(trials=0)


def test_the_lowest_rung_has_the_least_budget_and_the_whole_space_has_none(tmp_path: Path) -> None:
    drawn = make(tmp_path, {**SMALL, "tuning_trials": [8, 0]}, rungs="tuning_trials", trials=9)
    assert {c.tuning_trials for c in drawn.lowest.configurations()} == {0}
    assert (drawn.lowest.search.rungs, drawn.lowest.trials, drawn.search.rungs) == (None, 9, "tuning_trials")
    assert (drawn.whole.search.rungs, drawn.whole.sampler, drawn.whole.trials) == (None, "grid", drawn.count)
    assert not make(tmp_path, latency_first=True).whole.search.latency_first


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


def test_narrow_types_of_a_device_are_those_of_stacks_that_are_valid_there(tmp_path: Path) -> None:
    """A joint choice counts for each of its devices, a constraint may leave a type out, and winograd has none."""
    (tmp_path / "devices.toml").write_text('[board]\n[gpu]\ntarget = { kind = "opencl" }\n')
    axes = {
        "compression": ["none", "float16", "int8", "channel_pruning+float16"],
        "algorithm": ["direct", "winograd"],
        "device": ["local", "board", "board+gpu"],
        "threads": 1,
    }
    forbidding = {"when": {"device": "local"}, "forbid": {"compression": "int8"}}
    dense = {"when": {"device": "board"}, "require": {"algorithm": "winograd"}}
    found = make(tmp_path, {**SMALL, **axes}, [forbidding, dense])
    narrow = ["float16", "channel_pruning+float16"]
    assert found.narrow_types("local") == {"float16": narrow}
    assert found.narrow_types("gpu") == found.narrow_types("board") == {"float16": narrow, "int8": ["int8"]}
