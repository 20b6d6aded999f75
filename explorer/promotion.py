"""Finished trials → the configuration to judge next with a larger tuning budget: successive halving, rung by rung.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (ASHA). There the share that is
promoted is fixed. The untuned winner is often not the tuned one, so that here more are the more often the order of two
configurations was another one with the larger budget.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from explorer.configuration import Configuration
from explorer.errors import SpaceError
from explorer.limits import Limit, violation
from explorer.space import Space
from explorer.space_file import Direction

# As many pairs are taken for compared and in order before the first one is: one inversion alone says little.
PRIOR_PAIRS = 4

# The reference point of hypervolumes over objectives scaled to [0, 1], so that extreme points contribute, too.
REFERENCE = 1.1


@dataclass(frozen=True)
class Finished:
    """A complete trial and the values of its record."""

    number: int
    configuration: Configuration
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Inversions:
    """Of pairs of configurations compared with a smaller and a larger budget, how many changed their order.

    A pair counts if with both budgets the 95 % intervals of the latencies lie apart.
    """

    pairs: int
    inverted: int

    @property
    def share(self) -> float:
        """Share of inverted pairs, a few pairs in order added; 0.5 is what an order at random gives."""
        return self.inverted / (self.pairs + PRIOR_PAIRS)


@dataclass(frozen=True)
class Promotion:
    """A configuration to judge on a higher rung.

    Attributes
    ----------
    source : number of the trial that is promoted
    rung : from 0
    kept : share of the rung below that is promoted, as it was decided by `inversions`
    """

    configuration: Configuration
    source: int
    rung: int
    kept: float
    inversions: Inversions

    @property
    def facts(self) -> dict[str, Any]:
        """What is remembered of it, as plain JSON values."""
        return {"from": self.source, "rung": self.rung, "kept": self.kept, **asdict(self.inversions)}


class Ladder:
    """The rungs of a space, and the trials that stand on them."""

    def __init__(self, space: Space) -> None:
        assert space.rungs is not None
        self._space, self._axis = space, space.rungs
        self._budgets = sorted(int(str(choice)) for choice in space.axes[space.rungs].choices)
        self._trials: dict[int, Finished] = {}

    def add(self, trial: Finished) -> None:
        """Put a complete trial on its rung."""
        self._trials[trial.number] = trial

    def promotion(self, seen: Collection[str]) -> Promotion | None:
        """Return what to promote, from the highest rung that allows it; None if there is nothing.

        Parameters
        ----------
        seen
            Ids of the configurations that are, or have been, under way.
        """
        for rung in reversed(range(len(self._budgets) - 1)):
            above = self._on(rung + 1)
            for device, trials in self._on(rung).items():
                found = inversions(trials, above.get(device, []), self._axis)
                kept = share_kept(self._space.reduction, found)
                best = ranked(trials, self._space.objectives, self._space.limits)
                for trial in best[: int(kept * len(trials) + 1e-9)]:
                    for configuration in self._successors(trial.configuration, rung + 1):
                        if configuration.id not in seen:
                            return Promotion(configuration, trial.number, rung + 1, kept, found)
        return None

    def _on(self, rung: int) -> dict[str, list[Finished]]:
        """Return the trials on a rung by device: latencies on different ones have no order."""
        found: dict[str, list[Finished]] = {}
        for trial in self._trials.values():
            if getattr(trial.configuration, self._axis) == self._budgets[rung]:
                found.setdefault(trial.configuration.device, []).append(trial)
        return found

    def _successors(self, configuration: Configuration, rung: int) -> list[Configuration]:
        """Return the same stack with the next budget, once for every tuner if it was not tuned, as far as valid."""
        own = configuration.tuner
        tuners = [own] if own is not None else self._space.axes["tuner"].choices
        found = [_with(configuration, self._axis, self._budgets[rung], tuner) for tuner in tuners]
        return [successor for successor in found if _is_in(successor, self._space)]


def share_kept(reduction: int, found: Inversions) -> float:
    """Return the share of a rung to promote: 1 / `reduction` while orders last, all of it where they are at random."""
    return 1 / reduction + (1 - 1 / reduction) * min(1.0, 2 * found.share)


def inversions(lower: Sequence[Finished], upper: Sequence[Finished], axis: str) -> Inversions:
    """Compare the orders by latency of the stacks that were judged with both of two budgets, on one device.

    Parameters
    ----------
    axis
        Of the budget.
    """
    pairs = inverted = 0
    for (one_below, one_above), (other_below, other_above) in combinations(climbed(lower, upper, axis), 2):
        before, after = _order(one_below, other_below), _order(one_above, other_above)
        pairs += bool(before and after)
        inverted += bool(before and after and before != after)
    return Inversions(pairs, inverted)


def climbed(lower: Sequence[Finished], upper: Sequence[Finished], axis: str) -> list[tuple[Finished, Finished]]:
    """Return the trials of `upper` with those of the same stack in `lower`."""
    below = {_stack(trial.configuration, axis, trial.configuration.tuner): trial for trial in lower}
    found = []
    for trial in upper:
        for tuner in dict.fromkeys((trial.configuration.tuner, None)):
            if origin := below.get(_stack(trial.configuration, axis, tuner)):
                found.append((origin, trial))
                break
    return found


def ranked(
    trials: Sequence[Finished], objectives: Mapping[str, Direction], limits: Sequence[Limit] = ()
) -> list[Finished]:
    """Return trials of one device, the best first: those that keep the limits, then the others by their violations.

    They are still promoted if there is room, since with a larger budget a stack may keep what it breaks with this one.
    """
    broken = {trial.number: violation(limits, trial.configuration.device, trial.values) for trial in trials}
    kept = [trial for trial in trials if not broken[trial.number]]
    others = [trial for trial in trials if broken[trial.number]]
    return _by_front(kept, objectives) + sorted(others, key=lambda trial: (broken[trial.number], trial.number))


def _by_front(trials: Sequence[Finished], objectives: Mapping[str, Direction]) -> list[Finished]:
    """Return trials by front after front and, on one, by what they add in hypervolume."""
    import moocore
    import numpy as np

    if not trials:
        return []
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in objectives.values()]
    points = np.array([[float(trial.values[name]) for name in objectives] for trial in trials]) * signs
    spread = np.ptp(points, axis=0)
    points = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    ranks = np.asarray(moocore.pareto_rank(points))
    added = np.zeros(len(trials))
    for rank in np.unique(ranks):
        own = ranks == rank
        added[own] = moocore.hv_contributions(points[own], ref=REFERENCE)
    order = sorted(range(len(trials)), key=lambda index: (ranks[index], -added[index], trials[index].number))
    return [trials[index] for index in order]


def _stack(configuration: Configuration, axis: str, tuner: Any) -> Configuration:
    """Return `configuration` as it is for all budgets, with `tuner`."""
    return _with(configuration, axis, 0, tuner)


def _with(configuration: Configuration, axis: str, budget: int, tuner: Any) -> Configuration:
    return Configuration.from_dict({**configuration.as_dict(), axis: budget, "tuner": tuner})


def _order(one: Finished, other: Finished) -> int:
    """Return -1 if `one` is faster for certain, 1 if `other` is, else 0."""
    if one.values["latency_high_ms"] < other.values["latency_low_ms"]:
        return -1
    return int(other.values["latency_high_ms"] < one.values["latency_low_ms"])


def _is_in(configuration: Configuration, space: Space) -> bool:
    try:
        space.parameters(configuration)
    except SpaceError:
        return False
    return True
