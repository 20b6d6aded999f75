"""The quasi-random sequence: every choice as often as it should be, from few trials."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from explorer.search.samplers import qmc
from tests.explorer.simulated import search, study_of
from tests.explorer.spaces import SMALL, make

DISTRIBUTIONS = [
    CategoricalDistribution(["a", "b", "c"]),
    FloatDistribution(0.2, 0.9),
    FloatDistribution(0.1, 10.0, log=True),
    FloatDistribution(0.1, 0.9, step=0.2),
    IntDistribution(1, 7, step=3),
    IntDistribution(1, 64, log=True),
]


@given(st.sampled_from(DISTRIBUTIONS), st.floats(0, 1, exclude_max=True))
def test_a_value_lies_in_its_distribution(
    distribution: CategoricalDistribution | FloatDistribution | IntDistribution, share: float
) -> None:
    value = qmc._at(distribution, share)
    assert distribution._contains(distribution.to_internal_repr(value))


def test_shares_of_a_distribution_are_its_quantiles() -> None:
    assert [qmc._at(DISTRIBUTIONS[0], share) for share in (0, 0.34, 0.99)] == ["a", "b", "c"]
    assert qmc._at(DISTRIBUTIONS[1], 0.5) == pytest.approx(0.55)
    assert qmc._at(DISTRIBUTIONS[2], 0.5) == pytest.approx(1.0)
    assert [qmc._at(DISTRIBUTIONS[4], share) for share in (0, 0.34, 0.99)] == [1, 4, 7]


def test_choices_come_equally_often(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, sampler="qmc", trials=64)
    proposed = search(space, study_of(space), 64)
    for name, choices in (("model", 2), ("algorithm", 2), ("threads", 2), ("compression", 3)):
        counts = Counter(parameters[name] for parameters in proposed)
        assert len(counts) == choices
        assert max(counts.values()) - min(counts.values()) <= 4
