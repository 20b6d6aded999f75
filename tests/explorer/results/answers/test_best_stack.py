from __future__ import annotations

import json
from collections import ChainMap
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import ExplorerError
from explorer.core.measurement.quantities import LATENCY, Quantity
from explorer.core.measurement.statistics import Interval
from explorer.fronts import certainty
from explorer.results.answers import best_stack
from explorer.results.answers.goals import Goals
from tests.explorer.frames import complete, disturbed, failed, frame_of, study

FRAME = frame_of(
    complete(0, 0.90, 1.0, compression="weight_pruning", ratio=0.5, threads=2),
    complete(1, 0.95, 2.0),
    failed(2),
    complete(3, 0.97, 3.0),
    complete(4, 0.97, 4.0),
    complete(5, 0.99, 0.1, device="board"),
)


def numbers(answer: best_stack.Best) -> tuple[int | None, ...]:
    stacks = (answer.stack, answer.next_better, answer.nearest)
    return tuple(stack.number if stack else None for stack in stacks)


@pytest.mark.parametrize(
    ("budget", "min_accuracy", "expected"),
    [
        (2.5, None, (1, 3, None)),
        (2.0, None, (1, 3, None)),  # the budget itself fits
        (1.9, None, (0, 1, None)),
        (9.0, None, (3, None, None)),  # as accurate as trial 4, and faster
        (9.0, 0.96, (3, None, None)),
        (2.5, 0.96, (None, None, 3)),  # the fastest that is accurate enough
        (0.5, None, (None, None, 0)),
        (2.5, 0.98, (None, None, 1)),  # none is accurate enough: the most accurate within the budget
        (0.5, 0.98, (None, None, 0)),
    ],
)
def test_the_most_accurate_stack_within_the_budget(
    budget: float, min_accuracy: float | None, expected: tuple[int | None, ...]
) -> None:
    answer = best_stack.best(FRAME, "local", Goals(budget, min_accuracy))
    assert numbers(answer) == expected
    assert (answer.considered, answer.failed) == (4, 1)


@given(st.floats(0.05, 5), st.sampled_from([None, 0.95, 0.97, 0.98]))
def test_no_stack_that_fits_is_better(budget: float, min_accuracy: float | None) -> None:
    frame = study()
    answer = best_stack.best(frame, "local", Goals(budget, min_accuracy))
    fits = frame[(frame["latency_ms"] <= budget) & (frame["accuracy"] >= (min_accuracy or 0))]
    if answer.stack is None:
        assert fits.empty
    else:
        assert answer.stack.accuracy == fits["accuracy"].max()
        assert answer.stack.number in fits["number"].tolist()


def test_what_more_accuracy_would_cost() -> None:
    assert best_stack.best(FRAME, "local", Goals(2.5)).next_costs_ms == pytest.approx(1.0)
    assert best_stack.best(FRAME, "local", Goals(9)).next_costs_ms is None


def test_an_interval_beyond_the_budget_is_told() -> None:
    assert best_stack.best(FRAME, "local", Goals(2.05)).crosses_budget  # the interval ends at 2.1
    assert not best_stack.best(FRAME, "local", Goals(2.15)).crosses_budget


def test_the_answer_says_how_likely_it_keeps_the_budget() -> None:
    for budget in (2.0, 2.05, 2.5):
        answer = best_stack.best(FRAME, "local", Goals(budget))
        assert answer.stack is not None
        assert answer.confidence == certainty.keeps_budget(answer.stack.latency, budget)
        assert answer.as_dict()["confidence"] == answer.confidence
    assert best_stack.best(FRAME, "local", Goals(2.0)).confidence == 0.5
    assert best_stack.best(FRAME, "local", Goals(0.5)).confidence is None


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [(0.5, (1, 3, None)), (0.7, (1, 3, None)), (0.95, (0, 1, None))],  # trial 1 keeps 2.02 ms with 0.715
)
def test_an_answer_keeps_the_budget_with_the_confidence_asked_for(
    confidence: float, expected: tuple[int | None, ...]
) -> None:
    answer = best_stack.best(FRAME, "local", Goals(2.02, min_confidence=confidence))
    assert numbers(answer) == expected
    assert answer.confidence is not None
    assert answer.confidence >= confidence == answer.goals.min_confidence


def test_where_none_keeps_the_budget_surely_enough_the_nearest_is_told() -> None:
    assert numbers(best_stack.best(FRAME, "local", Goals(1.0, min_confidence=0.9))) == (None, None, 0)
    assert numbers(best_stack.best(frame_of(failed(0)), "local", Goals(1.0, min_confidence=0.9))) == (None, None, None)


def on_both(number: int, accuracy: float, **latencies: float) -> dict[str, Any]:
    """Return a stack on the devices that `latencies` names."""
    intervals = [
        Quantity("latency_ms", name).as_columns(Interval(each, 0.98 * each, 1.05 * each))
        for name, each in latencies.items()
    ]
    slowest = max(latencies.values())
    return {**complete(number, accuracy, slowest, device="+".join(latencies)), **dict(ChainMap(*intervals))}


def test_a_stack_on_several_devices_keeps_the_budget_on_each() -> None:
    frame = frame_of(on_both(0, 0.95, a=2.0, b=1.99), {**on_both(1, 0.9, a=1.0, b=1.5), "number on b": 7.0})
    answer = best_stack.best(frame, "a+b", Goals(2.05))
    stack = answer.stack
    assert stack is not None
    assert [(name, on.number, on.latency.value) for name, on in stack.on_each.items()] == [
        ("a", 0, 2.0),
        ("b", 0, 1.99),
    ]
    apart = [certainty.keeps_budget(on.latency, 2.05) for on in stack.on_each.values()]
    assert answer.confidence == pytest.approx(apart[0] * apart[1])
    assert answer.crosses_budget
    assert stack.high_ms == pytest.approx(2.1)
    surer = best_stack.best(frame, "a+b", Goals(2.05, min_confidence=min(apart))).stack
    assert surer is not None
    assert (surer.number, surer.on_each["b"].number) == (1, 7)
    assert surer.as_dict()["on_each"] == {
        "a": {"number": 1, **LATENCY.as_columns(surer.on_each["a"].latency), "latency_emulated": False},
        "b": {"number": 7, **LATENCY.as_columns(surer.on_each["b"].latency), "latency_emulated": False},
    }


def test_the_wider_interval_of_the_faster_device_may_cross_the_budget() -> None:
    wide = {**on_both(0, 0.9, a=2.0, b=1.9), "latency_high_ms on b": 3.0}
    answer = best_stack.best(frame_of(wide), "a+b", Goals(2.5))
    assert answer.crosses_budget
    assert answer.stack is not None
    assert (answer.stack.latency.high, answer.stack.high_ms) == (2.1, 3.0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, float("nan")])
def test_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(ExplorerError, match=f"confidence is a probability above 0 and below 1, not {confidence:g}"):
        best_stack.best(FRAME, "local", Goals(1.0, min_confidence=confidence))


def test_a_stack_tells_why_its_latency_is_disturbed() -> None:
    frame = disturbed(FRAME, 1, "no session was quiet")
    one, quiet = best_stack.best(frame, "local", Goals(2.5)).stack, best_stack.best(frame, "local", Goals(1.5)).stack
    assert one is not None
    assert quiet is not None
    assert one.as_dict()["latency_disturbed"] == "no session was quiet"
    assert quiet.as_dict()["latency_disturbed"] is None


def test_the_stack_has_every_layer_and_plain_values() -> None:
    stack = best_stack.best(FRAME, "local", Goals(1.5)).stack
    assert stack is not None
    assert stack.layers["Model Optimizations"] == {
        "compression": "weight_pruning",
        "ratio": 0.5,
        "channel_multiple": None,
        "max_drop": None,
    }
    assert stack.choices["threads"] == 2
    assert (stack.placed, stack.convolutions, stack.test_images) == (20, 21, 450)
    other = best_stack.best(FRAME, "local", Goals(2.5)).stack
    assert other is not None
    assert other.choices["ratio"] is None


def test_the_answer_is_json() -> None:
    for budget in (0.5, 2.5):
        answer = best_stack.best(FRAME, "local", Goals(budget)).as_dict()
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_a_device_without_trials_is_an_error() -> None:
    with pytest.raises(ExplorerError, match="no trial has run on device 'bord'; allowed: board, local; did you mean"):
        best_stack.best(FRAME, "bord", Goals(1.0))
    with pytest.raises(ExplorerError, match="no trial has run"):
        best_stack.best(pd.DataFrame(), "local", Goals(1.0))


def test_a_device_whose_trials_all_failed_has_no_answer() -> None:
    for frame in (frame_of(failed(0)), frame_of(failed(0), complete(1, 0.9, 1.0, device="board"))):
        answer = best_stack.best(frame, "local", Goals(1.0))
        assert numbers(answer) == (None, None, None)
        assert (answer.considered, answer.failed) == (0, 1)
