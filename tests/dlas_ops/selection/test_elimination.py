"""The least total cost over shared variables, against trying everything."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops.selection import elimination
from dlas_ops.selection.elimination import Factor, minimise, total


@st.composite
def problems(draw: st.DrawFn) -> tuple[dict[str, int], list[Factor]]:
    """Draw up to 7 variables of up to 3 values and factors over up to 3 of them, some with infinite costs."""
    sizes = {f"v{index}": draw(st.integers(1, 3)) for index in range(draw(st.integers(1, 7)))}
    over = st.lists(st.sampled_from(sorted(sizes)), min_size=0, max_size=3, unique=True)
    factors = []
    for names in draw(st.lists(over, max_size=12)):
        shape = [sizes[name] for name in names]
        costs = draw(st.lists(st.integers(0, 20), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        factors.append(Factor(tuple(names), np.array(costs, float).reshape(shape)))
    return sizes, factors


@given(problems())
def test_finds_what_trying_everything_finds(problem: tuple[dict[str, int], list[Factor]]) -> None:
    sizes, factors = problem
    found = minimise(sizes, factors)
    everything = (dict(zip(sizes, values, strict=True)) for values in product(*map(range, sizes.values())))
    assert list(found) == list(sizes)
    assert total(found, factors) == min(total(values, factors) for values in everything)


def test_a_table_too_large_is_decided_greedily(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clique of 4 variables needs a table of 81 entries; the first is decided alone, and the others follow."""
    names = [f"v{index}" for index in range(4)]
    differ = 1.0 - np.eye(3)
    factors = [Factor((one, other), differ) for one, other in product(names, names) if one < other]
    factors.append(Factor(("v0",), np.array([1.0, 0.0, 1.0])))
    monkeypatch.setattr(elimination, "MOST_ENTRIES", 8)
    assert minimise(dict.fromkeys(names, 3), factors) == dict.fromkeys(names, 1)
