"""How a space is searched: the options of [search], what is refused, and what a command line overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import SpaceError
from explorer.core.measurement.quantities import QUANTITIES
from explorer.space.limits import Limit
from explorer.space.search_options import Search
from tests.explorer.spaces import VALID, Raw, make, refusal


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"sampler": "tpee"}, "9: unknown sampler 'tpee'; allowed: auto, gp, grid, nsga2, "),
        ({"trials": 0}, "9: trials = 0 in [search] should be greater than "),
        ({"trials": "3"}, "9: trials = '3' in [search] should be a valid integer"),
        ({"trails": 3}, "9: unknown key 'trails' in [search]; allowed: sampler, "),
        (
            {"limits": Raw('[\n"latency_ms <= 5",\n"latency <= 5"]')},
            f"11: unknown quantity 'latency' in limit 'latency <= 5'; allowed: {', '.join(QUANTITIES)}; "
            "did you mean 'latency_ms'?",
        ),
        (
            {"limits": ["latency_ms <= 5 on locl"]},
            "9: unknown device 'locl' in limit 'latency_ms <= 5 on locl'; allowed: local; did you mean 'local'?",
        ),
        (
            {"limits": ["latency_ms <= 5", "latency_ms<=5.0"]},
            "9: limits 'latency_ms <= 5' and 'latency_ms <= 5' are the same bound twice",
        ),
        ({"limits": ["latency_ms < 5"]}, "9: unknown comparison '<' in limit 'latency_ms < 5'; allowed: <=, >="),
        ({"limits": ["latency_ms <= 5 ms"]}, "9: '5 ms' in limit 'latency_ms <= 5 ms' is no number"),
        ({"limits": [5]}, "9: limits lists texts such as 'latency_ms <= 5', not 5"),
        ({"limits": "latency_ms <= 5"}, "9: limits = 'latency_ms <= 5' in [search] should be a valid list"),
        (
            {"latency_first": "yes please"},
            "9: latency_first = 'yes please' in [search] should be a valid boolean",
        ),
        (
            {"rungs": "tuning_trails"},
            "9: rungs 'tuning_trails' is no tuning budget; allowed: tuning_trials, tuning_seconds; "
            "did you mean 'tuning_trials'?",
        ),
        ({"rungs": "tuning_trials", "reduction": 1}, "10: reduction = 1 in [search] should be greater than "),
        (
            {"reduction": 3},
            "9: reduction says how many of the rungs' configurations are promoted: it needs rungs",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(search: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, search=search).startswith(f"x.toml:{message}")


def test_rungs_and_latency_first_exclude_each_other(tmp_path: Path) -> None:
    search = {"rungs": "tuning_trials", "latency_first": True}
    message = refusal(tmp_path, {"tuning_trials": [0, 8]}, search=search)
    assert message.startswith("x.toml:11: latency_first leaves out stacks that rungs might promote, by how they do ")


def test_options_are_read_as_they_are_written(tmp_path: Path) -> None:
    given = {"sampler": "tpe", "trials": 7, "seed": 3, "warm_start": False, "latency_first": True}
    search = make(tmp_path, VALID, **given).search
    assert search == Search(**given)  # type: ignore[arg-type]
    assert (search.rungs, search.limits) == (None, [])


def test_limits_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    texts = ["latency_ms <= 5 on local", "accuracy >= 0.9", "latency_ms <= 8"]
    drawn = make(tmp_path, VALID, limits=texts)
    assert drawn.search.limits == [Limit.parse(text) for text in texts]
    assert [str(limit) for limit in drawn.limits] == texts
    assert drawn.lowest.limits == drawn.whole.limits == drawn.limits
    assert make(tmp_path, VALID).limits == ()


def test_overrides_are_checked() -> None:
    search = Search(trials=9, seed=2)
    changed = search.overridden(sampler="grid", trials=5, seed=0)
    assert (changed.sampler, changed.trials, changed.seed) == ("grid", 5, 0)
    assert search.overridden() == search
    with pytest.raises(SpaceError, match=r"unknown sampler 'gird'.*did you mean 'grid'"):
        search.overridden(sampler="gird")
    with pytest.raises(SpaceError, match="trials 0 is below 1"):
        search.overridden(trials=0)
    with pytest.raises(SpaceError, match="seed -1 is negative"):
        search.overridden(seed=-1)
