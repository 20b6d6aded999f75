"""Stacks that are no full grid → a random forest over their axes, and the shares of its variance.

A tree is constant in boxes. So the mean over all else at a level of a factor is a sum over its leaves: each weighs by
the share of every other factor's levels that its box holds. That is exact, and needs no combination of levels to be
listed; only the variance of the whole forest is taken over combinations drawn at random where there are too many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from explorer.core.configuration import AXES
from explorer.results.study_report.shares import anova
from explorer.results.study_report.shares.factors import Factor

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TREES = 64
MOST_LEAVES = 1024  # of a tree
MOST_STACKS = 5000  # that a tree is grown on, drawn from all
MOST_CELLS = 30_000  # combinations of levels over which the forest's variance is taken
LEAST_STACKS = 30
SEED = 0


@dataclass(frozen=True)
class Forest:
    """A forest fitted to one quantity of the stacks.

    Parameters
    ----------
    encoding
        Column of the fit → the axis, and the choice that it stands for; None for an axis of numbers.
    r2
        The share of the variance that it explains of stacks that a tree was not grown on.
    """

    trees: Sequence[Any]
    encoding: Sequence[tuple[str, object]]
    r2: float

    @staticmethod
    def fitted(rows: pd.DataFrame, values: Floats) -> Forest | None:
        """Return the forest for `values` of the stacks in `rows`; None for too few stacks."""
        import warnings

        from sklearn.ensemble import RandomForestRegressor

        encoding = _encoding(rows)
        if len(rows) < LEAST_STACKS or not encoding:
            return None
        forest = RandomForestRegressor(
            TREES, max_leaf_nodes=MOST_LEAVES, oob_score=True, random_state=SEED,
            max_samples=MOST_STACKS if len(rows) > MOST_STACKS else None,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a stack that every tree was grown on
            forest.fit(_encoded(rows, encoding), values)
        return Forest([each.tree_ for each in forest.estimators_], encoding, float(forest.oob_score_))

    def shares(self, factors: Sequence[Factor]) -> anova.Shares | None:
        """Return the shares of the forest's variance that `factors`, with no axis in common, explain."""
        single: dict[int, Floats] = {}
        pairs: dict[tuple[int, int], Floats] = {}
        levels = [_encoded(factor.levels, self._own(factor)) for factor in factors]
        for tree, bounds in zip(self.trees, self._bounds, strict=True):
            boxes = self._boxes(bounds, factors, levels)
            weights = [box.mean(axis=1) for box in boxes]  # of each leaf: the share of levels in its box
            value = tree.value[:, 0, 0][tree.children_left < 0]
            for index, box in enumerate(boxes):
                rest = math.prod((w for i, w in enumerate(weights) if i != index), start=value)
                single[index] = single.get(index, 0) + rest @ box / len(self.trees)
            for one, other in combinations(range(len(factors)), 2):
                rest = math.prod((w for i, w in enumerate(weights) if i not in (one, other)), start=value)
                both = (boxes[one] * rest[:, None]).T @ boxes[other]
                pairs[one, other] = pairs.get((one, other), 0) + both / len(self.trees)
        return anova.decomposed(self._variance(factors, levels), [each.name for each in factors], single, pairs)

    def _own(self, factor: Factor) -> list[tuple[str, object]]:
        return [column for column in self.encoding if column[0] in factor.axes]

    @cached_property
    def _bounds(self) -> list[tuple[Floats, Floats]]:
        return [_bounds(tree, len(self.encoding)) for tree in self.trees]

    def _boxes(
        self, bounds: tuple[Floats, Floats], factors: Sequence[Factor], levels: Sequence[Floats]
    ) -> list[Floats]:
        """Return for every factor which of its levels each leaf's box holds: 0 or 1, shape (leaves, levels)."""
        import numpy as np

        low, high = bounds
        found = []
        for factor, encoded in zip(factors, levels, strict=True):
            inside = np.ones((len(low), len(encoded)), dtype=bool)
            columns = [index for index, column in enumerate(self.encoding) if column[0] in factor.axes]
            for own, index in enumerate(columns):
                values = encoded[:, own].astype(np.float32)  # as the trees compare them
                inside &= (values > low[:, index, None]) & (values <= high[:, index, None])
            found.append(inside.astype(float))
        return found

    def _variance(self, factors: Sequence[Factor], levels: Sequence[Floats]) -> float:
        """Return the variance of the forest over all combinations of levels, or over as many drawn at random."""
        import numpy as np

        sizes = [len(each) for each in levels]
        cells = math.prod(sizes)
        if cells <= MOST_CELLS:
            chosen = np.stack(np.unravel_index(np.arange(cells), sizes), axis=1)
        else:
            chosen = np.random.default_rng(SEED).integers(0, sizes, (MOST_CELLS, len(sizes)))
        points = np.zeros((len(chosen), len(self.encoding)), dtype=np.float32)
        for index, (factor, encoded) in enumerate(zip(factors, levels, strict=True)):
            columns = [place for place, column in enumerate(self.encoding) if column[0] in factor.axes]
            points[:, columns] = encoded[chosen[:, index]]
        return float(np.mean([tree.predict(points)[:, 0] for tree in self.trees], axis=0).var())


def _encoding(rows: pd.DataFrame) -> list[tuple[str, object]]:
    """Return a column for each axis of numbers that varies, and one for each choice of an axis of names."""
    import pandas as pd

    found: list[tuple[str, object]] = []
    for axis in AXES:
        if rows[axis].nunique(dropna=False) < 2:
            continue
        if pd.api.types.is_numeric_dtype(rows[axis]):
            found.append((axis, None))
        else:
            found += [(axis, choice) for choice in rows[axis].dropna().unique()]
    return found


def _encoded(rows: pd.DataFrame, encoding: Sequence[tuple[str, object]]) -> Floats:
    """Return the choices of `rows` as numbers, shape (rows, columns); a number that does not exist is -1."""
    import numpy as np
    import pandas as pd

    columns = [
        pd.to_numeric(rows[axis]).fillna(-1.0) if choice is None else (rows[axis] == choice).astype(float)
        for axis, choice in encoding
    ]
    return np.stack([column.to_numpy(dtype=float) for column in columns], axis=1)


def _bounds(tree: Any, columns: int) -> tuple[Floats, Floats]:
    """Return the box of every leaf of a tree: above `low` and at most `high`, both of shape (leaves, columns)."""
    import numpy as np

    low, high = np.full((tree.node_count, columns), -np.inf), np.full((tree.node_count, columns), np.inf)
    nodes = np.flatnonzero(tree.children_left[:1] >= 0)
    while len(nodes):  # all nodes of one depth at once
        left, right = tree.children_left[nodes], tree.children_right[nodes]
        feature, threshold = tree.feature[nodes], tree.threshold[nodes]
        for children in (left, right):
            low[children], high[children] = low[nodes], high[nodes]
        high[left, feature] = np.minimum(high[left, feature], threshold)
        low[right, feature] = np.maximum(low[right, feature], threshold)
        below = np.concatenate([left, right])
        nodes = below[tree.children_left[below] >= 0]
    leaves = tree.children_left < 0
    return low[leaves], high[leaves]
