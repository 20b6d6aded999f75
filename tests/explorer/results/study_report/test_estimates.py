"""Means and rank correlations have the intervals that SciPy gives, and those of one pair its own."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from explorer.results.study_report.estimates import LEAST_RANKED, means, rank_correlation

RATIOS = st.lists(st.floats(0.1, 10), min_size=1, max_size=8)


@given(st.dictionaries(st.sampled_from("abc"), RATIOS, min_size=1))
def test_a_mean_is_geometric_with_students_interval(groups: dict[str, list[float]]) -> None:
    pairs = pd.DataFrame([(name, each, 0.9 * each, 1.2 * each) for name, own in groups.items() for each in own])
    pairs.columns = ["group", "value", "low", "high"]
    found = means(pairs, ["group"], "value", "low", "high", log=True).to_dict("records")
    assert [row["group"] for row in found] == sorted(groups)
    for row in found:
        logs = np.log(groups[row["group"]])
        assert row["pairs"] == len(logs)
        assert row["value"] == pytest.approx(math.exp(logs.mean()))
        if len(logs) == 1:
            assert (row["low"], row["high"]) == pytest.approx((0.9 * row["value"], 1.2 * row["value"]))
        elif np.ptp(logs) > 1e-6:
            ends = stats.t.interval(0.95, len(logs) - 1, logs.mean(), stats.sem(logs))
            assert (row["low"], row["high"]) == pytest.approx(tuple(np.exp(ends)))


def test_no_pair_has_no_mean() -> None:
    empty = pd.DataFrame(columns=["group", "value", "low", "high"])
    assert means(empty, ["group"], "value", "low", "high").empty


def test_a_gap_on_an_axis_is_a_group_of_its_own() -> None:
    pairs = pd.DataFrame({"ratio": [0.5, None, None], "value": [1.0, 2.0, 8.0], "low": 1.0, "high": 9.0})
    found = means(pairs, ["ratio"], "value", "low", "high", log=True)
    assert found["value"].tolist() == pytest.approx([1.0, 4.0])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=LEAST_RANKED, max_size=40))
def test_a_rank_correlation_is_spearmans(points: list[tuple[int, int]]) -> None:
    one, other = np.array(points, dtype=float).T
    found = rank_correlation(one, other)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(one, other).statistic)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_its_interval_covers_that_of_the_population() -> None:
    generator, truth = np.random.default_rng(0), 6 / math.pi * math.asin(0.5 / 2)  # of a bivariate normal, 0.5
    drawn = [generator.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 30).T for _ in range(400)]
    intervals = [interval for pair in drawn if (interval := rank_correlation(*pair))]
    covered = sum(interval.low <= truth <= interval.high for interval in intervals)
    assert 0.92 <= covered / len(intervals) <= 0.98


def test_too_few_stacks_have_none() -> None:
    values = np.arange(LEAST_RANKED - 1.0)
    assert rank_correlation(values, values) is None
    more = np.arange(LEAST_RANKED + 0.0)
    assert rank_correlation(more, -more) == (-1, -1, -1)
    more[0] = np.nan  # which leaves too few
    assert rank_correlation(more, more) is None
