"""Shares of variance: exact over a grid, a forest's as exact as its predictions, and what is built in is found."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.configuration import AXES
from explorer.results.study_report.shares import anova, factors
from explorer.results.study_report.shares.factors import Factor
from explorer.results.study_report.shares.forest import LEAST_STACKS, Forest, _encoded, _encoding
from tests.explorer.frames import complete, frame_of

CHOICES: dict[str, tuple[Any, ...]] = {
    "model": ("mobilenetv2", "resnet18", "vgg16"),
    "algorithm": ("direct", "gemm"),
    "threads": (1, 2, 4),
}
EFFECT = {"mobilenetv2": 0.0, "resnet18": 1.0, "vgg16": 5.0, "direct": 0.0, "gemm": 2.0, 1: 0.0, 2: -1.0, 4: -2.0}


def grid(repeats: int = 1) -> pd.DataFrame:
    cells = [dict(zip(CHOICES, each, strict=True)) for each in product(*CHOICES.values())] * repeats
    return frame_of(*(complete(number, 0.9, 1.0, **axes) for number, axes in enumerate(cells)))


def additive(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([sum(EFFECT[row[axis]] for axis in CHOICES) for row in rows.to_dict("records")])


def of_grid(values: np.ndarray[Any, np.dtype[np.float64]], rows: pd.DataFrame) -> anova.Shares:
    own = factors.axes(rows)
    assert anova.is_grid(own, len(rows))
    found = anova.over_grid(values, own)
    assert found is not None
    return found


@pytest.mark.parametrize("repeats", [1, 2])
def test_factors_that_add_up_explain_the_variances_of_their_effects(repeats: int) -> None:
    rows = grid(repeats)
    found = of_grid(additive(rows), rows)
    variances = {axis: float(np.var([EFFECT[each] for each in choices])) for axis, choices in CHOICES.items()}
    assert found.alone == pytest.approx({axis: each / sum(variances.values()) for axis, each in variances.items()})
    assert list(found.together.values()) == pytest.approx([0, 0, 0], abs=1e-12)
    assert found.rest == pytest.approx(0, abs=1e-12)


def test_what_two_decide_by_being_equal_is_an_interaction() -> None:
    rows = frame_of(*(complete(i, 0.9, 1.0, model=m, algorithm=a) for i, (m, a) in enumerate(product("xy", "pq"))))
    values = np.array([1.0, -1.0, -1.0, 1.0])
    found = of_grid(values, rows)
    assert found.alone == {"model": 0, "algorithm": 0}
    assert found.together == {("model", "algorithm"): pytest.approx(1)}


@given(st.lists(st.floats(-5, 5), min_size=18, max_size=18))
def test_all_shares_add_up_to_one(values: list[float]) -> None:
    rows = grid()
    found = anova.over_grid(np.array(values), factors.axes(rows))
    if found is None:
        assert np.var(values) <= 1e-12
        return
    assert sum(found.alone.values()) + sum(found.together.values()) + found.rest == pytest.approx(1)
    assert min(*found.alone.values(), *found.together.values(), found.rest) >= 0


def test_a_cell_that_is_missing_makes_it_no_grid() -> None:
    rows = grid()
    assert anova.is_grid(factors.axes(rows), len(rows))
    assert not anova.is_grid(factors.axes(rows[1:]), len(rows) - 1)
    assert not anova.is_grid([], 0)


def test_an_axis_that_others_bring_about_is_part_of_them() -> None:
    pruned = [complete(i, 0.9, 1.0, compression="weight_pruning", ratio=r) for i, r in enumerate((0.5, 0.9))]
    rows = frame_of(complete(2, 0.9, 1.0), *pruned)
    (compression,) = factors.axes(rows)
    assert (compression.name, compression.axes, len(compression.levels)) == ("compression", ("compression", "ratio"), 3)
    (layer,) = factors.layers(rows)
    assert (layer.name, layer.of.tolist()) == ("Model Optimizations", [0, 1, 2])


def test_a_fine_axis_is_cut_into_bins() -> None:
    ratios = np.linspace(0.1, 0.9, 160)
    rows = frame_of(*(complete(i, 0.9, 1.0, compression="weight_pruning", ratio=r) for i, r in enumerate(ratios)))
    found = factors.binned(rows)["ratio"]
    assert found.nunique() == factors.MOST_VALUES
    assert (found - rows["ratio"]).abs().max() < 0.06


def fitted(rows: pd.DataFrame, values: np.ndarray[Any, np.dtype[np.float64]]) -> Forest:
    forest = Forest.fitted(rows, values)
    assert forest is not None
    return forest


@pytest.mark.parametrize("of", [factors.axes, factors.layers])
def test_a_forests_shares_are_those_of_its_predictions(of: Any) -> None:
    """All combinations of levels are predicted, and taken apart as a grid is."""
    pruned: list[dict[str, Any]] = [{"compression": "weight_pruning", "ratio": ratio} for ratio in (0.5, 0.7, 0.9)]
    cells = [dict(zip(CHOICES, each, strict=True)) | own
             for each in product(*CHOICES.values()) for own in ({"compression": "none"}, *pruned)]  # fmt: skip
    rows = frame_of(*(complete(number, 0.9, 1.0, **axes) for number, axes in enumerate(cells))).sample(
        45, random_state=1
    )
    values = np.random.default_rng(0).normal(size=45) + additive(rows)
    forest, own = fitted(rows, values), of(rows)
    combined = [
        {axis: level[axis] for level in levels for axis in level}
        for levels in product(*(factor.levels.to_dict("records") for factor in own))
    ]
    every = pd.DataFrame(combined)
    every = every.assign(**{axis: rows[axis].iloc[0] for axis in AXES if axis not in every})
    points = _encoded(every, _encoding(rows)).astype(np.float32)
    predicted = np.mean([tree.predict(points)[:, 0] for tree in forest.trees], axis=0)
    places = list(product(*(range(len(factor.levels)) for factor in own)))
    whole = [Factor(f.name, f.axes, f.levels, np.array(p)) for f, p in zip(own, zip(*places, strict=True), strict=True)]
    expected, found = anova.over_grid(predicted, whole), forest.shares(own)
    assert found is not None
    assert expected is not None
    assert found.alone == pytest.approx(expected.alone)
    assert found.together == pytest.approx(expected.together, abs=1e-9)


def test_a_forest_finds_most_of_what_a_grid_has() -> None:
    rows = grid(4).sample(frac=0.8, random_state=0)
    forest = fitted(rows, additive(rows))
    exact, found = of_grid(additive(grid()), grid()), forest.shares(factors.axes(rows))
    assert forest.r2 > 0.95
    assert found is not None
    assert found.alone == pytest.approx(exact.alone, abs=0.05)


def test_noise_is_no_fit() -> None:
    rows = grid(4)
    assert fitted(rows, np.random.default_rng(0).normal(size=len(rows))).r2 < 0.3


def test_too_few_stacks_have_no_forest() -> None:
    rows = grid(2)[: LEAST_STACKS - 1]
    assert Forest.fitted(rows, additive(rows)) is None
    assert math.isfinite(fitted(grid(2), additive(grid(2))).r2)
