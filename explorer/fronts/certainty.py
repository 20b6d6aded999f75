"""Finished trials with the intervals of what was measured → how likely each is on its device's front, and what ties."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from explorer.core.measurement.quantities import HIGHER_IS_BETTER, Quantity, on_device
from explorer.core.measurement.statistics import Interval
from explorer.fronts import pareto
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

# A stack that is on the front with less is off it with more than the 95 % that the intervals themselves are sure with.
TIED_FROM = 0.05
DRAWS = 1000  # which give a probability near `TIED_FROM` within 0.014 in 95 % of cases
LEAST_DRAWS = 50  # with which 5 % is still told from none
POINTS = 300_000  # stacks times draws on one device, which take some 0.1 s; with more stacks there are fewer draws
SEED = 0
# Standard deviations between a latency's median and the ends that leave a stack out before any draw. The chance that
# the other one is slower after all, where these ends lie apart, is at most 0.0014: about what 1,000 draws can tell.
CLEAR = 3.0
APART = ("first_ms", "load_ms")  # quantities that the moment of a session's other runs says nothing of
MOST_RIVALS = 300  # that stacks are compared with before any draw: the first few leave nearly all others out
_END = NormalDist().inv_cdf(0.975)  # standard deviations from a normal distribution's median to an interval's end


def front_with_ties(
    frame: pd.DataFrame, objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()
) -> pd.DataFrame:
    """Return the front of every device, then the stacks that its intervals cannot tell apart from it.

    The front is that of the medians. A stack off it is tied with it where it is on the front with a probability of at
    least `TIED_FROM`.

    Parameters
    ----------
    frame, objectives, limits
        See `front_probabilities`.

    Returns
    -------
    pd.DataFrame
        Rows of `frame` with the columns ``front_probability`` and ``tied``: by device, first its front as
        `pareto.front` sorts it, then its ties, the likeliest first.
    """
    front = pareto.front(frame, objectives, limits)
    probability = front_probabilities(frame, objectives, limits)
    likely = probability[probability >= TIED_FROM].sort_values(ascending=False, kind="stable").index
    ties = likely[~likely.isin(front.index)]
    rows = frame.loc[front.index.append(ties)]
    rows = rows.assign(front_probability=probability[rows.index], tied=rows.index.isin(ties))
    return rows.sort_values(["device", "tied"], kind="stable") if len(rows) else rows


def front_probabilities(
    frame: pd.DataFrame, objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()
) -> pd.Series[float]:
    """Return for every row of `frame` the probability that it lies on the Pareto front of its device.

    What sessions measure is uncertain: its logarithm is normal around that of the median, with the standard deviation
    by which the 95 % interval is as wide. Two values are independent unless they are of one measurement, as
    ``measure_key`` tells: a slow moment then slows all of its inferences, but the first one and the loading for
    themselves. All else is exact, and so is a value without an interval on record. The probability is the share of
    draws in which the stack keeps `limits` and no other such stack dominates it; the same rows always give the same.

    Parameters
    ----------
    frame
        One row per trial, with the columns ``state``, ``device``, every objective and every limited quantity.
    objectives
        Column → ``"maximize"`` or ``"minimize"``.

    Returns
    -------
    pd.Series
        In [0, 1], with the index of `frame`; 0 for failed trials and for rows that lack an objective.
    """
    import pandas as pd

    found = pd.Series(0.0, index=frame.index)
    usable = pareto.comparable(frame, objectives, limits)
    if not usable.any():
        return found
    quantities = {Quantity.parse(name) for name in objectives} | {
        quantity for limit in limits for device in frame["device"].unique() if (quantity := limit.bounded(device))
    }
    columns = {column for quantity in quantities for column in (*quantity.columns, _key(quantity))}
    narrow = frame.loc[usable, ["device", *(name for name in frame.columns if name in columns)]]
    for device, rows in narrow.groupby("device"):
        likely = _on_one_device(str(device), rows, objectives, limits)
        found.loc[likely.index] = likely
    return found


def keeps_budget(latency: Interval, budget_ms: float) -> float:
    """Return the probability that a latency is at most `budget_ms`; 0 or 1 where its interval is a point."""
    spread = (math.log(latency.high) - math.log(latency.low)) / (2 * _END) if 0 < latency.low < latency.high else 0.0
    if not spread:
        return float(latency.value <= budget_ms)
    if budget_ms <= 0:
        return 0.0
    return NormalDist(math.log(latency.value), spread).cdf(math.log(budget_ms))


def _key(quantity: Quantity) -> str:
    """Return the column with the key of the measurement that a value comes from."""
    return on_device("measure_key", quantity.device)


def _spread(rows: pd.DataFrame, quantity: Quantity) -> Floats:
    """Return the standard deviation of each value's logarithm; 0 for what is exact or has no interval on record.

    It is negative for a rate, which falls by what a latency rises.
    """
    import numpy as np

    none = np.zeros(len(rows))
    if not quantity.is_measured or not set(quantity.columns) <= set(rows.columns):
        return none
    low, high = (rows[column].to_numpy(dtype=float) for column in quantity.columns[1:])
    known = (low > 0) & (high > low)
    spread = np.log(np.divide(high, low, out=np.ones(len(rows)), where=known)) / (2 * _END)
    return np.asarray(-spread if quantity.name in HIGHER_IS_BETTER else spread)


@dataclass(frozen=True)
class _Values:
    """Medians and spreads of the quantities of stacks on one device.

    Parameters
    ----------
    medians, spreads
        Shape (stacks, quantities); a spread is the value of `_spread`.
    """

    medians: Floats
    spreads: Floats

    @staticmethod
    def of(rows: pd.DataFrame, quantities: Sequence[Quantity]) -> _Values:
        import numpy as np

        medians = [rows[str(quantity)].to_numpy(dtype=float) for quantity in quantities]
        return _Values(np.stack(medians, axis=1), np.stack([_spread(rows, each) for each in quantities], axis=1))

    def at(self, deviations: float | Floats) -> Floats:
        """Return the values that lie so many standard deviations above the medians."""
        import numpy as np

        return np.asarray(self.medians * np.exp(deviations * self.spreads))


def _on_one_device(
    device: str, rows: pd.DataFrame, objectives: Mapping[str, Direction], limits: Sequence[Limit]
) -> pd.Series[float]:
    """Return the probability that each of `rows`, all on `device`, is on its front; without those that cannot be."""
    import moocore
    import numpy as np
    import pandas as pd

    bounds = [(quantity, limit) for limit in limits if (quantity := limit.bounded(device))]
    quantities = list(dict.fromkeys([*map(Quantity.parse, objectives), *(quantity for quantity, _ in bounds)]))
    signs = np.array([1.0 if direction == "minimize" else -1.0 for direction in objectives.values()])

    def kept(values: Floats) -> Flags:
        """Tell which stack keeps which limit, in the shape (stacks, limits)."""
        held = np.ones((len(values), len(bounds)), dtype=bool)
        for index, (quantity, limit) in enumerate(bounds):
            value = values[:, quantities.index(quantity)]
            held[:, index] = value <= limit.number if limit.comparison == "<=" else value >= limit.number
        return held

    known = _Values.of(rows, quantities)
    rows = rows.iloc[_contenders(known.at(-CLEAR), known.at(CLEAR), kept, signs)]
    known, same = _Values.of(rows, quantities), _measurements(rows, quantities)
    draws = min(DRAWS, max(LEAST_DRAWS, POINTS // max(1, len(rows)))) if known.spreads.any() else 1
    generator, hits = np.random.default_rng(SEED), np.zeros(len(rows))
    for _ in range(draws if len(rows) else 0):
        values = known.at(generator.standard_normal(same.size)[same])
        keeping = np.flatnonzero(kept(values).all(axis=1))
        if len(keeping):
            points = values[keeping, : len(signs)] * signs
            hits[keeping] += moocore.is_nondominated(points, keep_weakly=True)
    return pd.Series(hits / draws, index=rows.index)


def _measurements(rows: pd.DataFrame, quantities: Sequence[Quantity]) -> NDArray[np.intp]:
    """Return the number of the measurement that each value comes from, below their count; shape (stacks, quantities).

    A value without a key on record has a measurement of its own.
    """
    import numpy as np
    import pandas as pd

    keys = []
    for each in quantities:
        own = rows.get(_key(each), pd.Series(None, rows.index)).astype("string")
        keys.append((own + each.name if each.name in APART else own).to_numpy(dtype=object))
    numbers, unique = pd.factorize(np.concatenate(keys))
    unknown = numbers < 0
    numbers[unknown] = len(unique) + np.arange(unknown.sum())
    return numbers.reshape(len(quantities), len(rows)).T


def _contenders(low: Floats, high: Floats, kept: Callable[[Floats], Flags], signs: Floats) -> NDArray[np.intp]:
    """Return the numbers of the stacks that may be on the front: no other one is sure to dominate them.

    Parameters
    ----------
    low, high
        All values at their least and at their greatest, the objectives first.
    kept
        Values → which stack keeps which limit.
    signs
        Of each objective: 1 to minimize it, -1 to maximize it.
    """
    import moocore
    import numpy as np

    corners = [end[:, : len(signs)] * signs for end in (low, high)]
    best, worst = np.minimum(*corners).T.copy(), np.maximum(*corners)  # one objective of all stacks side by side
    left = np.flatnonzero((kept(low) | kept(high)).all(axis=1))
    rivals = worst[(kept(low) & kept(high)).all(axis=1)]
    if not len(rivals):
        return left
    rivals = rivals[moocore.is_nondominated(rivals, keep_weakly=False)]
    best = best[:, left]
    # Those that are good in every objective come first: after a few of them, few stacks are left to compare.
    ranks = rivals.argsort(axis=0).argsort(axis=0).sum(axis=1)
    for rival in rivals[ranks.argsort(kind="stable")][:MOST_RIVALS, :, np.newaxis]:
        stays = ~((rival <= best).all(axis=0) & (rival < best).any(axis=0))
        left, best = left[stays], best[:, stays]
    return left
