"""Ratios and differences of pairs of stacks → their mean in each group with its interval; two columns → their rank
correlation with its interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.core.measurement.statistics import Interval

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

LEAST_RANKED = 10  # stacks, below which the interval of a rank correlation is no guide


def means(pairs: pd.DataFrame, by: Sequence[str], value: str, low: str, high: str, log: bool = False) -> pd.DataFrame:
    """Return the mean of a column in each group of pairs with its 95 % interval, Student's over the pairs.

    A group of one pair has that pair's own interval.

    Parameters
    ----------
    value, low, high
        The columns of a pair's value and of the ends of its own interval.
    log
        Whether the mean is the geometric one, of ratios.

    Returns
    -------
    pd.DataFrame
        A row for each group, sorted: the columns `by`, ``pairs`` (their number), `value`, `low` and `high`.
    """
    import numpy as np
    import pandas as pd
    from scipy.special import stdtrit

    if pairs.empty:
        return pd.DataFrame(columns=[*by, "pairs", value, low, high])
    kept = pairs.dropna(subset=[value])
    scale = np.log if log else np.asarray
    scaled = kept[list(by)].assign(**{name: scale(kept[name].to_numpy(dtype=float)) for name in (value, low, high)})
    grouped = scaled.groupby(list(by), dropna=False, sort=True)
    found = grouped[value].agg(pairs="size", middle="mean", spread="std").reset_index()
    single = grouped[[low, high]].first().reset_index(drop=True)
    count = found["pairs"].to_numpy(dtype=float)
    several = count > 1
    half = stdtrit(np.maximum(count - 1, 1), 0.975) * found["spread"].to_numpy(dtype=float) / np.sqrt(count)
    middle = found["middle"].to_numpy(dtype=float)
    back = np.exp if log else np.asarray
    found[value] = back(middle)
    found[low] = back(np.where(several, middle - half, single[low]))
    found[high] = back(np.where(several, middle + half, single[high]))
    return found[[*by, "pairs", value, low, high]]


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> Interval | None:
    """Return Spearman's rank correlation with its 95 % interval; None where too few stacks or equal values say nothing.

    The interval is that of Fisher's transformation with the variance of Bonett and Wright (Sample size requirements
    for estimating Pearson, Kendall and Spearman correlations, Psychometrika 2000). It is one for stacks drawn at
    random from the space: a grid's stacks are not, and measure what they have without it.

    Parameters
    ----------
    one, other
        The values of the same stacks, shape (stacks,).
    """
    import numpy as np
    import pandas as pd

    known = ~(np.isnan(one) | np.isnan(other))
    if known.sum() < LEAST_RANKED:
        return None
    ranks = np.stack([pd.Series(each[known]).rank().to_numpy() for each in (one, other)])
    if not np.ptp(ranks, axis=1).all():
        return None
    rho = float(np.asarray(np.corrcoef(ranks))[0, 1])
    if abs(rho) >= 1 - 1e-12:
        return Interval(round(rho), round(rho), round(rho))
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / (known.sum() - 3))
    middle = math.atanh(rho)
    return Interval(rho, math.tanh(middle - half), math.tanh(middle + half))
