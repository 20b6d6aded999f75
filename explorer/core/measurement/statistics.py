"""Samples → median with its distribution-free interval; hits → that of their share; two estimates → their ratio's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """An estimate, such as a median, and the interval that covers the truth with the confidence asked for."""

    value: float
    low: float
    high: float

    def is_below(self, other: Interval) -> bool:
        """Tell whether all of it lies below all of `other`."""
        return self.high < other.low


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the median of `samples` with the interval between two order statistics that covers the true median.

    Latencies are skewed and have outliers, so nothing is assumed of their distribution: each sample lies below the true
    median with probability 1/2, hence the number that do is binomial (Conover, Practical Nonparametric Statistics,
    section 3.2). With fewer than 6 samples no pair of order statistics reaches 95 %; the whole range is returned.

    Raises
    ------
    ValueError
        If there are no samples.
    """
    if not samples:
        raise ValueError("the median of no samples")
    ordered = sorted(samples)
    n = len(ordered)
    tail = 0.0
    rank = 0  # the largest rank with P(Binomial(n, 1/2) < rank) <= (1 - confidence) / 2
    while rank < n // 2 and (tail := tail + math.comb(n, rank) / 2**n) <= (1 - confidence) / 2:
        rank += 1
    low, high = (ordered[rank - 1], ordered[n - rank]) if rank else (ordered[0], ordered[-1])
    middle = ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2
    return Interval(middle, low, high)


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the least sample that at least a `share` of all samples, in (0, 1], does not exceed (the nearest rank).

    Of fewer than 1 / (1 - `share`) samples that is the largest.

    Raises
    ------
    ValueError
        If there are no samples.
    """
    if not samples:
        raise ValueError("the quantile of no samples")
    return sorted(samples)[math.ceil(share * len(samples)) - 1]


def spread(samples: Sequence[float]) -> float:
    """Return how far the quartiles of `samples` lie apart, as a share of the median; 0 for fewer than 4."""
    if len(samples) < 4:
        return 0.0
    return (quantile(samples, 0.75) - quantile(samples, 0.25)) / quantile(samples, 0.5)


def share_interval(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share, `hits` of `count` independent trials.

    Unlike the share plus and minus its standard error, it holds near 0 and 1 too (Brown, Cai and DasGupta, Interval
    Estimation for a Binomial Proportion, Statistical Science 2001).

    Raises
    ------
    ValueError
        If there were no trials.
    """
    if not count:
        raise ValueError("the share of no trials")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, squared = hits / count, z * z / count
    middle = (share + squared / 2) / (1 + squared)
    half = z * math.sqrt(share * (1 - share) / count + squared / (4 * count)) / (1 + squared)
    return max(0.0, middle - half), min(1.0, middle + half)


def ratio_interval(numerator: Interval, denominator: Interval) -> Interval:
    """Return the ratio of two independent positive estimates with its interval.

    On the logarithms, each end lies as far from the ratio as the root of the squared distances of the two ends that
    it comes from (Zou and Donner, Construction of confidence limits about effect measures, Statistics in Medicine
    2008). An end that is not positive, or not on record, counts as the estimate.
    """

    def distance(interval: Interval, end: float) -> float:
        return abs(math.log(end / interval.value)) if end > 0 else 0.0

    ratio = numerator.value / denominator.value
    below = math.hypot(distance(numerator, numerator.low), distance(denominator, denominator.high))
    above = math.hypot(distance(numerator, numerator.high), distance(denominator, denominator.low))
    return Interval(ratio, ratio * math.exp(-below), ratio * math.exp(above))
