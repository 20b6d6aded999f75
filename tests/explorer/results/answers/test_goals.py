"""Goals as such: what can be meant, and how probable it is that a stack is fast enough."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import ExplorerError
from explorer.core.measurement.statistics import Interval, ratio_interval
from explorer.results.answers.goals import Drop, Goals, SpeedUp


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "nothing is asked of the stack; give --latency-ms, --speed-up, --max-drop or --min-accuracy"),
        ({"max_drop": -0.01}, "max drop is a share from 0 to below 1, such as 0.01 .* not -0.01"),
        ({"max_drop": 1.0}, "such as 0.01 for one point of accuracy, not 1"),
        ({"max_drop": math.nan}, "not nan"),
        ({"min_speed_up": 0.0}, "speed-up is a factor above 0, such as 2 for twice as fast, not 0"),
        ({"min_speed_up": math.inf}, "not inf"),
        ({"max_drop": 0.1, "min_confidence": 0.9}, "give --latency-ms or --speed-up with it"),
        ({"budget_ms": 1.0, "min_confidence": 1.0}, "confidence is a probability above 0 and below 1, not 1"),
    ],
)
def test_a_goal_that_cannot_be_meant_is_an_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ExplorerError, match=message):
        Goals(**wrong)


def test_a_drop_that_is_one_in_decimals_counts_as_it() -> None:
    assert 0.97 - 0.96 > 0.01, "in binary"
    assert Goals(max_drop=0.01).is_accurate({"accuracy": 0.96}, Drop(0, 0.97, 0.97 - 0.96))
    assert not Goals(max_drop=0.01).is_accurate({"accuracy": 0.9599}, Drop(0, 0.97, 0.97 - 0.9599))
    assert not Goals(max_drop=0.01).is_accurate({"accuracy": 0.99}, None), "nothing is known of its base"


def speed_up(base: Interval, latency: Interval, device: str = "local") -> SpeedUp:
    return SpeedUp(device, 0, base, ratio_interval(base, latency))


def test_a_speed_up_is_reached_with_the_probability_that_its_interval_allows() -> None:
    twice = speed_up(Interval(4.0, 3.8, 4.2), Interval(2.0, 1.9, 2.1))
    assert twice.reaches(2.0) == pytest.approx(0.5)
    assert twice.reaches(twice.factor.low) == pytest.approx(0.975, abs=0.003)
    assert twice.reaches(twice.factor.high) == pytest.approx(0.025, abs=0.003)
    exact = SpeedUp("local", 0, Interval(4.0, 3.8, 4.2), Interval(1.0, 1.0, 1.0))
    assert (exact.reaches(1.0), exact.reaches(1.001)) == (1.0, 0.0)


@given(st.floats(0.1, 10), st.floats(1.01, 2), st.floats(0.2, 5))
def test_probabilities_of_devices_and_goals_multiply(latency: float, wide: float, factor: float) -> None:
    own = Interval(latency, latency / wide, latency * wide)
    faster = speed_up(Interval(1.0, 0.9, 1.1), own)
    alone = Goals(min_speed_up=factor).likely([own], [faster])
    budget = Goals(budget_ms=latency).likely([own], [])
    assert budget == pytest.approx(0.5)
    assert alone == faster.reaches(factor)
    assert Goals(budget_ms=latency, min_speed_up=factor).likely([own], [faster]) == pytest.approx(alone / 2)
    assert Goals(min_speed_up=factor).likely([own, own], [faster, faster]) == pytest.approx(alone**2)
