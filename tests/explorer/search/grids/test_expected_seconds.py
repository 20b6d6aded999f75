"""What a stack would take: stages that it shares with those before cost nothing again, and others what they took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from explorer.core.configuration import Configuration
from explorer.line.trials import dry_run
from explorer.search.grids.expected_seconds import LEAST, Costs
from explorer.space.space import Space
from tests.explorer.spaces import SMALL, make

AXES = {**SMALL, "width": [0.25, 0.5], "device": ["local"]}
FIRST = Configuration("digits", "resnet18", 0.25)
SECONDS = {"data": 1.0, "train": 20.0, "compress": 5.0, "lower": 0.5, "build": 2.0, "evaluate": 0.3, "measure": 0.7}


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return make(tmp_path, AXES)


def simulated(costs: Costs, configurations: list[Configuration]) -> list[tuple[Configuration, float | None]]:
    """Return what each takes where stages take `SECONDS`, what is shared only once."""
    executed: set[tuple[str, object]] = set()
    tried: list[tuple[Configuration, float | None]] = []
    for configuration in configurations:
        new = costs.executions(configuration) - executed
        executed |= new
        tried.append((configuration, sum(SECONDS[stage] for stage, _ in new)))
    return tried


def test_executions_are_those_that_are_counted_for_a_stack_alone(space: Space) -> None:
    costs = Costs(space)
    for configuration in list(space.configurations())[::7]:
        alone, _ = dry_run.CountingEngine(space.devices).count(configuration, space.settings)
        stages = [stage for stage, _ in costs.executions(configuration)]
        assert sorted(stages) == sorted(alone.elements())


def test_what_stages_take_is_learnt_from_trials_that_shared_some(space: Space) -> None:
    costs = Costs(space)
    every = list(space.configurations())
    order = [every[place] for place in np.random.default_rng(0).permutation(len(every))]
    tried, rest = simulated(costs, order[:30]), order[30:]
    done = [configuration for configuration, _ in tried]
    expected = [simulated(costs, [*done, candidate])[-1][1] for candidate in rest]
    assert costs.seconds(tried, rest) == pytest.approx(np.array(expected, dtype=float), abs=0.5)


def test_a_stack_of_a_trained_network_is_cheaper(space: Space) -> None:
    costs = Costs(space)
    others = [replace(FIRST, width=0.5), replace(FIRST, model="mobilenetv2", algorithm="gemm")]
    tried = simulated(costs, [FIRST, replace(FIRST, algorithm="gemm"), *others])
    known, unknown = replace(others[0], algorithm="gemm"), replace(FIRST, model="mobilenetv2", width=0.5)
    cheap, dear = costs.seconds(tried, [known, unknown])
    assert cheap < 0.3 * dear


def test_nothing_is_for_free_and_without_times_all_cost_the_same(space: Space) -> None:
    costs = Costs(space)
    candidates = [FIRST, replace(FIRST, threads=2)]
    assert costs.seconds([], candidates).tolist() == [1, 1]
    assert costs.seconds([(FIRST, None)], candidates).tolist() == [1, 1], "an earlier study's trial"
    assert costs.seconds([(FIRST, 10.0)], candidates)[0] == pytest.approx(10 * LEAST)
    dear, cheap = costs.seconds([(FIRST, 10.0)], [replace(FIRST, model="mobilenetv2"), candidates[1]])
    assert dear > 10 * cheap, "by what is usual"
    assert costs.seconds([(FIRST, 0.0)], candidates).tolist() == [1, 1]
