"""Finished trials → the configuration to judge next with a larger tuning budget: successive halving, rung by rung.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (ASHA). There the share that is
promoted is fixed. The untuned winner is often not the tuned one, so this ladder promotes more stacks the more often a
larger budget changed the order of two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from explorer.core.measurement.quantities import LATENCY
from explorer.space.limits import Limit, violation
from explorer.space.space import Space
from explorer.space.toml.space_file import Direction

# Pairs that count as compared and in order before the first pair is compared: one inversion alone says little.
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
    """How many pairs of configurations changed their order between a smaller and a larger budget.

    A pair counts if with both budgets the 95 % intervals of the latencies lie apart.
    """

    pairs: int
    inverted: int

    def __add__(self, other: Inversions) -> Inversions:
        return Inversions(self.pairs + other.pairs, self.inverted + other.inverted)

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
        """Plain JSON values that remember it."""
        return {"from": self.source, "rung": self.rung, "kept": self.kept, **asdict(self.inversions)}


class _Rung:
    """The trials that stand on one rung on one device, and how their order compares with that on the next."""

    def __init__(self) -> None:
        self.trials: list[Finished] = []
        self.inversions = Inversions(0, 0)
        self._stacks: dict[Configuration, Finished] = {}
        self._climbed: list[tuple[Finished, Finished]] = []

    def add(self, trial: Finished, axis: str) -> None:
        """Put a trial on the rung."""
        self.trials.append(trial)
        self._stacks[_stack(trial.configuration, axis, trial.configuration.tuner)] = trial

    def promoted(self, trial: Finished, axis: str) -> None:
        """Compare a trial of the next rung, if its stack stands on this one, with those that were before it."""
        if (origin := _origin(trial, self._stacks, axis)) is None:
            return
        pair = origin, trial
        self.inversions = sum((_compared(pair, other) for other in self._climbed), self.inversions)
        self._climbed.append(pair)


class Ladder:
    """The rungs of a space, and the trials that stand on them."""

    def __init__(self, space: Space) -> None:
        assert space.search.rungs is not None
        self._space, self._axis = space, space.search.rungs
        self._budgets = sorted(int(str(choice)) for choice in space.axes[self._axis].choices)
        # By device: latencies on different ones have no order.
        self._rungs: list[dict[str, _Rung]] = [{} for _ in self._budgets]
        self._added: set[int] = set()

    def add(self, trial: Finished) -> None:
        """Put a complete trial on its rung, once; one that was promoted comes after the one it was promoted from."""
        if trial.number in self._added:
            return
        self._added.add(trial.number)
        device = trial.configuration.device
        place = self._budgets.index(getattr(trial.configuration, self._axis))
        self._rungs[place].setdefault(device, _Rung()).add(trial, self._axis)
        if place and device in self._rungs[place - 1]:
            self._rungs[place - 1][device].promoted(trial, self._axis)

    def promotion(self, seen: Collection[str]) -> Promotion | None:
        """Return what to promote, from the highest rung that allows it; None if there is nothing.

        Parameters
        ----------
        seen
            Ids of the configurations that are, or have been, under way.
        """
        for place in reversed(range(len(self._budgets) - 1)):
            for rung in self._rungs[place].values():
                kept = share_kept(self._space.search.reduction, rung.inversions)
                best = ranked(rung.trials, self._space.objectives, self._space.limits)
                for trial in best[: int(kept * len(rung.trials) + 1e-9)]:
                    for configuration in self._successors(trial.configuration, place + 1):
                        if configuration.id not in seen:
                            return Promotion(configuration, trial.number, place + 1, kept, rung.inversions)
        return None

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
    pairs = combinations(climbed(lower, upper, axis), 2)
    return sum((_compared(one, other) for one, other in pairs), Inversions(0, 0))


def climbed(lower: Sequence[Finished], upper: Sequence[Finished], axis: str) -> list[tuple[Finished, Finished]]:
    """Return the trials of `upper` with those of the same stack in `lower`."""
    below = {_stack(trial.configuration, axis, trial.configuration.tuner): trial for trial in lower}
    return [(origin, trial) for trial in upper if (origin := _origin(trial, below, axis))]


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


def _origin(trial: Finished, below: Mapping[Configuration, Finished], axis: str) -> Finished | None:
    """Return the trial of the same stack among those `below`, tuned by the same tuner or not at all."""
    stacks = (_stack(trial.configuration, axis, tuner) for tuner in (trial.configuration.tuner, None))
    return next((below[stack] for stack in stacks if stack in below), None)


def _compared(one: tuple[Finished, Finished], other: tuple[Finished, Finished]) -> Inversions:
    """Compare the order of two stacks with the smaller budget and with the larger one."""
    before, after = _order(one[0], other[0]), _order(one[1], other[1])
    apart = bool(before and after)
    return Inversions(int(apart), int(apart and before != after))


def _stack(configuration: Configuration, axis: str, tuner: Any) -> Configuration:
    """Return `configuration` as it is for all budgets, with `tuner`."""
    return _with(configuration, axis, 0, tuner)


def _with(configuration: Configuration, axis: str, budget: int, tuner: Any) -> Configuration:
    return Configuration.from_dict({**configuration.as_dict(), axis: budget, "tuner": tuner})


def _order(one: Finished, other: Finished) -> int:
    """Return -1 if `one` is faster by its whole interval, 1 if `other` is, else 0."""
    own, others = LATENCY.interval(one.values), LATENCY.interval(other.values)
    return -1 if own.is_below(others) else int(others.is_below(own))


def _is_in(configuration: Configuration, space: Space) -> bool:
    try:
        space.parameters(configuration)
    except SpaceError:
        return False
    return True
