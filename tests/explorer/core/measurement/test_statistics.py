"""Quantiles, and the intervals of a median, a share and a ratio: exact values, and the coverage that they promise."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.measurement import statistics
from explorer.core.measurement.statistics import Interval, median_interval, ratio_interval, share_interval


@pytest.mark.parametrize(
    ("n", "low", "high"),
    # Ranks of the 95 % interval for the median, from the binomial distribution's table.
    [(6, 1, 6), (10, 2, 9), (20, 6, 15), (30, 10, 21), (40, 14, 27), (100, 40, 61)],
)
def test_ranks(n: int, low: int, high: int) -> None:
    interval = median_interval([float(i) for i in range(1, n + 1)])
    assert interval == ((n + 1) / 2, low, high)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.randoms())
def test_order_of_samples_is_irrelevant_and_the_median_inside(samples: list[float], generator: random.Random) -> None:
    interval = median_interval(samples)
    assert min(samples) <= interval.low <= interval.value <= interval.high <= max(samples)
    shuffled = generator.sample(samples, len(samples))
    assert median_interval(shuffled) == interval


def test_coverage_on_a_skewed_distribution() -> None:
    generator = random.Random(0)
    true_median = 2.0**0.5  # of the Pareto distribution with shape 2
    intervals = [median_interval([generator.paretovariate(2) for _ in range(30)]) for _ in range(4000)]
    covered = sum(low <= true_median <= high for _, low, high in intervals) / len(intervals)
    assert 0.945 <= covered <= 0.97


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 1998, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares(hits: int, count: int, low: float, high: float) -> None:
    assert share_interval(hits, count) == pytest.approx((low, high), abs=5e-5)
    assert share_interval(count - hits, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_no_trials() -> None:
    with pytest.raises(ValueError, match="no trials"):
        share_interval(0, 0)


@given(st.lists(st.floats(0.1, 100), min_size=1), st.floats(0.01, 1))
def test_at_least_the_share_of_samples_is_within_a_quantile(samples: list[float], share: float) -> None:
    found = statistics.quantile(samples, share)
    assert found in samples
    assert sum(each <= found for each in samples) >= share * len(samples)
    assert sum(each < found for each in samples) < share * len(samples)


def test_quantiles_are_nearest_ranks() -> None:
    samples = [float(number) for number in range(1, 101)]
    assert [statistics.quantile(samples, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50.0, 90.0, 99.0, 100.0]
    assert statistics.quantile(samples[:24], 0.99) == 24.0, "of few it is the largest"
    with pytest.raises(ValueError, match="no samples"):
        statistics.quantile([], 0.5)


def test_a_spread_is_of_the_middle_half() -> None:
    assert statistics.spread([1.0, 9.0, 10.0, 11.0, 50.0, 10.0, 10.0, 10.0]) == pytest.approx(0.1)
    assert statistics.spread([1.0, 2.0, 3.0]) == 0.0


def test_a_ratio_to_an_exact_value_has_the_interval_of_the_other() -> None:
    found = ratio_interval(Interval(6.0, 5.0, 9.0), Interval(2.0, 2.0, 2.0))
    assert found == pytest.approx((3.0, 2.5, 4.5))
    turned = ratio_interval(Interval(2.0, 2.0, 2.0), Interval(6.0, 5.0, 9.0))
    assert turned == pytest.approx((1 / 3.0, 1 / 4.5, 1 / 2.5))


def test_ends_that_are_not_on_record_count_as_the_estimate() -> None:
    nan = float("nan")
    assert ratio_interval(Interval(6.0, nan, nan), Interval(2.0, 0.0, 2.0)) == pytest.approx((3.0, 3.0, 3.0))


def test_the_interval_of_a_ratio_covers_it_as_often_as_those_of_its_parts() -> None:
    generator = random.Random(1)
    half = 1.96 * 0.1

    def measured(truth: float) -> Interval:
        value = truth * math.exp(generator.gauss(0, 0.1))
        return Interval(value, value * math.exp(-half), value * math.exp(half))

    ratios = [ratio_interval(measured(3.0), measured(2.0)) for _ in range(4000)]
    assert sum(each.low <= 1.5 <= each.high for each in ratios) / 4000 == pytest.approx(0.95, abs=0.015)
