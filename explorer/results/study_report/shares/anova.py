"""Values of stacks and the factors that vary → the share of variance that each explains, alone and with another.

The functional analysis of variance (Hooker, Discovering additive structure in black box functions, KDD 2004; Hutter,
Hoos and Leyton-Brown, An efficient approach for assessing hyperparameter importance, ICML 2014): every level of a
factor weighs as much as any other. Over a full grid the shares are exact. Otherwise they are those of a forest that is
fitted to the stacks, and which answers for stacks that nobody measured, or that make no sense, as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from explorer.results.study_report.shares.factors import Factor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shares:
    """Shares of a variance.

    Parameters
    ----------
    alone
        Factor → its share.
    together
        Pair of factors → the share of their interaction: what they explain together, less what each does alone.
    """

    alone: dict[str, float]
    together: dict[tuple[str, str], float]

    @property
    def rest(self) -> float:
        """The share of interactions of three and more, and of what the factors do not explain."""
        return max(0.0, 1.0 - sum(self.alone.values()) - sum(self.together.values()))


def is_grid(factors: Sequence[Factor], stacks: int) -> bool:
    """Tell whether the stacks are a full grid: every combination of the factors' levels was measured."""
    import numpy as np

    sizes = [len(factor.levels) for factor in factors]
    if not factors or math.prod(sizes) > stacks:
        return False
    return len(np.unique(_cells(factors))) == math.prod(sizes)


def over_grid(values: Floats, factors: Sequence[Factor]) -> Shares | None:
    """Return the shares over a full grid, exactly; None where all cells are equal.

    Parameters
    ----------
    values
        Of every stack, shape (stacks,); of several in one cell their mean counts.
    """
    import numpy as np

    sizes = [len(factor.levels) for factor in factors]
    cells = _cells(factors)
    counts = np.bincount(cells, minlength=math.prod(sizes))
    means = (np.bincount(cells, weights=values, minlength=math.prod(sizes)) / counts).reshape(sizes)
    single = {index: _marginal(means, (index,)) for index in range(len(factors))}
    pairs = {pair: _marginal(means, pair) for pair in combinations(range(len(factors)), 2)}
    return decomposed(float(means.var()), [factor.name for factor in factors], single, pairs)


def decomposed(
    total: float, names: Sequence[str], single: dict[int, Floats], pairs: dict[tuple[int, int], Floats]
) -> Shares | None:
    """Return the shares of the variance `total`; None where there is none.

    Parameters
    ----------
    single, pairs
        The mean over all else at each level of a factor, and at each pair of levels of two.
    """
    if total <= 1e-12:
        return None
    alone = {index: float(marginal.var()) / total for index, marginal in single.items()}
    together = {
        pair: max(0.0, float(marginal.var()) / total - alone[pair[0]] - alone[pair[1]])
        for pair, marginal in pairs.items()
    }
    return Shares(
        {names[index]: share for index, share in alone.items()},
        {(names[one], names[other]): share for (one, other), share in together.items()},
    )


def _cells(factors: Sequence[Factor]) -> NDArray[np.intp]:
    """Return the number of the cell that each stack is in."""
    import numpy as np

    sizes = [len(factor.levels) for factor in factors]
    return np.ravel_multi_index([factor.of for factor in factors], sizes)


def _marginal(means: Floats, kept: tuple[int, ...]) -> Floats:
    others = tuple(axis for axis in range(means.ndim) if axis not in kept)
    return means.mean(axis=others) if others else means
