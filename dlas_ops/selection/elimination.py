"""Cost tables over shared discrete variables → the assignment with the least total cost, by variable elimination.

What partitioned boolean quadratic programming calls reductions of degree 0, 1 and 2 (Scholz and Eckstein, "Register
Allocation for Irregular Architectures", LCTES 2002) is the elimination of a variable with at most two neighbours
(Bertele and Brioschi, "Nonserial Dynamic Programming", 1972). It is exact with any number; only its tables grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

# Entries of the largest table; a variable with so many neighbours that it needs a larger one is decided greedily.
MOST_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Factor:
    """A cost for each combination of some variables' values: axis i of `costs` is variable `names[i]`."""

    names: tuple[str, ...]
    costs: NDArray[np.float64]


def minimise(sizes: Mapping[str, int], factors: Sequence[Factor]) -> dict[str, int]:
    """Return a value in ``range(sizes[name])`` for every variable, such that the sum of all factors is least.

    Variables are eliminated smallest table first, of equals in the order of `sizes`, so that the same problem always
    has the same answer. The answer is exact unless a table would exceed `MOST_ENTRIES`.
    """
    left, open_names = list(factors), list(sizes)
    eliminated: list[Factor] = []
    while open_names:
        name = min(open_names, key=lambda candidate: _entries(candidate, left, sizes))
        mine = [factor for factor in left if name in factor.names]
        left = [factor for factor in left if name not in factor.names]
        if _entries(name, mine, sizes) > MOST_ENTRIES:
            value = _best_alone(name, mine, sizes)
            left += [_fixed(factor, name, value) for factor in mine]
            mine = [Factor((name,), np.where(np.arange(sizes[name]) == value, 0.0, np.inf))]
        joint = _joint((*_neighbours(name, mine), name), mine, sizes)
        eliminated.append(joint)
        left.append(Factor(joint.names[:-1], np.asarray(joint.costs.min(axis=-1))))
        open_names.remove(name)
    values: dict[str, int] = {}
    for joint in reversed(eliminated):
        *others, name = joint.names
        values[name] = int(joint.costs[tuple(values[other] for other in others)].argmin())
    return {name: values[name] for name in sizes}


def total(values: Mapping[str, int], factors: Sequence[Factor]) -> float:
    """Return what `values` cost."""
    return float(sum(factor.costs[tuple(values[name] for name in factor.names)] for factor in factors))


def _neighbours(name: str, factors: Sequence[Factor]) -> tuple[str, ...]:
    """Return what `name` shares a factor with."""
    mine = (factor for factor in factors if name in factor.names)
    return tuple(dict.fromkeys(other for factor in mine for other in factor.names if other != name))


def _entries(name: str, factors: Sequence[Factor], sizes: Mapping[str, int]) -> int:
    """Return the size of the table that eliminates `name`."""
    return prod(sizes[other] for other in (name, *_neighbours(name, factors)))


def _joint(names: tuple[str, ...], factors: Sequence[Factor], sizes: Mapping[str, int]) -> Factor:
    """Return the sum of `factors` as one over `names`."""
    costs = np.zeros([sizes[name] for name in names])
    for factor in factors:
        order = sorted(range(len(factor.names)), key=lambda axis: names.index(factor.names[axis]))
        shape = [sizes[name] if name in factor.names else 1 for name in names]
        costs += factor.costs.transpose(order).reshape(shape)
    return Factor(names, costs)


def _best_alone(name: str, factors: Sequence[Factor], sizes: Mapping[str, int]) -> int:
    """Return the value of `name` that is best if each factor takes its neighbours at their best."""
    costs = np.zeros(sizes[name])
    for factor in factors:
        costs += np.moveaxis(factor.costs, factor.names.index(name), 0).reshape(sizes[name], -1).min(axis=1)
    return int(costs.argmin())


def _fixed(factor: Factor, name: str, value: int) -> Factor:
    axis = factor.names.index(name)
    return Factor(factor.names[:axis] + factor.names[axis + 1 :], np.asarray(factor.costs.take(value, axis=axis)))
