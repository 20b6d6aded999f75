"""The algorithm's own schedule with other values for its declared tunables.

A template is MetaSchedule's ScheduleFn space: a schedule function that samples. Its points are listed here and searched
by name and value. MetaSchedule's own search would apply the whole schedule, 8 ms, to every point that it considers, and
knows no neighbours of a point: it mutates tile sizes, and a tile of ours is one choice among those that fit registers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product
from math import log2
from typing import TypeAlias

from dlas_ops._types import PrimFunc, Target
from dlas_ops.kernels import scheduling
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.tunables import Choice, Space, Value
from dlas_ops.tuning.tuners import Decision

# One value for each tunable.
Point: TypeAlias = tuple[Value, ...]

# Of what is proposed, this share lies next to the best points known; the others are drawn from all.
NEIGHBOURS = 0.6
# So many of the best points have their neighbours tried.
ELITE = 4


def refuses(target: Target) -> str | None:
    """Return None: every processor's schedules have tunables."""
    return None


def supports(function: PrimFunc, target: Target) -> str | None:
    """Return why there is nothing to try for `function`, or None."""
    space = scheduling.space(function, describe(target))
    return None if any(len(values) > 1 for values in space.values()) else "its schedule has one value of each tunable"


def search(function: PrimFunc, target: Target, seed: int) -> TemplateSearch:
    """Return the search through the tunables of `function`."""
    return TemplateSearch(scheduling.space(function, describe(target)), seed)


def schedule(function: PrimFunc, target: Target, decision: Decision) -> PrimFunc:
    """Return `function`, scheduled with the values that `decision` gives its tunables.

    Raises
    ------
    ValueError
        If `decision` is not of the function's space.
    """
    return scheduling.schedule_function(function, describe(target), choice_of(decision))


def transferred(function: PrimFunc, target: Target, decision: Decision) -> Decision | None:
    """Return the values allowed that are nearest to those of `decision`, or None if the tunables are others."""
    space = scheduling.space(function, describe(target))
    choice = choice_of(decision)
    if set(choice) != set(space):
        return None
    return {
        name: plain(min(allowed, key=lambda value: _distance(value, choice[name]))) for name, allowed in space.items()
    }


class TemplateSearch:
    """A search through the points of a space: next to the best ones, and anywhere.

    Parameters
    ----------
    space
        Name → values, the rule-based one first; the point of all first values is no proposal.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._names = list(space)
        points = list(product(*space.values()))
        self._left = set(points[1:])
        self._order = points[1:]
        self._random = random.Random(seed)
        self._random.shuffle(self._order)
        self._known: dict[Point, float] = {}
        self._rule = points[0]
        self._turns = 0

    def propose(self, count: int) -> list[Decision]:
        """Return at most `count` points that were neither proposed nor learned before."""
        wanted = min(count, len(self._left))
        near = self._near(round(NEIGHBOURS * wanted))
        chosen = (
            near + [point for point in self._order if point in self._left and point not in near][: wanted - len(near)]
        )
        self._left.difference_update(chosen)
        self._order = [point for point in self._order if point in self._left]
        return [{name: plain(value) for name, value in zip(self._names, point, strict=True)} for point in chosen]

    def learn(self, decision: Decision, seconds: float | None) -> None:
        """Take in what a point was measured at."""
        point = tuple(choice_of(decision)[name] for name in self._names)
        self._left.discard(point)
        if seconds is not None:
            self._known[point] = seconds

    def _near(self, count: int) -> list[Point]:
        """Return points left that differ from one of the best ones in one tunable, one tunable after the other.

        What a tunable gains hardly depends on the others, so that one at a time soon finds them all.
        """
        best = sorted(self._known, key=lambda point: self._known[point])[:ELITE] or [self._rule]
        chosen: list[Point] = []
        for turn in range(count):
            origin, axis = best[turn % len(best)], self._turns % len(self._names)
            self._turns += 1
            left = [point for point in self._order if point in self._left and point not in chosen]
            if not left:
                break
            along = [point for point in left if _without(point, axis) == _without(origin, axis)]
            chosen.append(min(along or left, key=lambda point: sum(map(_distance, point, origin))))
        return chosen


def _without(point: Point, axis: int) -> Point:
    return point[:axis] + point[axis + 1 :]


def _distance(one: Value, other: Value) -> float:
    """Return how far two values of a tunable lie apart: numbers, also in tuples, by their ratio."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return abs(log2((one + 1) / (other + 1)))
    if (
        isinstance(one, Sequence)
        and isinstance(other, Sequence)
        and not isinstance(one, str)
        and not isinstance(other, str)
    ):
        return sum(map(_distance, one, other)) + abs(len(one) - len(other))
    return float(one != other)


def choice_of(decision: Mapping[str, Value]) -> Choice:
    """Return a decision, read from JSON, with lists as the tuples that tunables hold."""
    return {name: _held(value) for name, value in decision.items()}


def _held(value: Value) -> Value:
    return tuple(_held(part) for part in value) if isinstance(value, list) else value


def plain(value: Value) -> Value:
    """Return a tunable's value as JSON has it."""
    return [plain(part) for part in value] if isinstance(value, tuple) else value
