"""Axes and constraints → a prefix tree of the valid configurations, in which every branch can be completed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from explorer.core.configuration import AXES, EXISTS, SEEN, Configuration, why_invalid
from explorer.space.axes import Axis, Choice, Range
from explorer.space.rules.constraints import Constraint


@dataclass(frozen=True, slots=True)
class Node:
    """The choices on one axis that can be completed, given those on the axes above.

    Parameters
    ----------
    children
        Choice → what it leaves open; empty below the last axis.
    count
        Number of configurations below.
    """

    children: Mapping[Choice, Node] = field(default_factory=dict)
    count: int = 1

    def leaves(self) -> Iterator[tuple[Choice, ...]]:
        """Yield the choices of every configuration below, in the order of the axes' choices."""
        if not self.children:
            yield ()
        for choice, child in self.children.items():
            for rest in child.leaves():
                yield (choice, *rest)

    def leaf(self, index: int) -> tuple[Choice, ...]:
        """Return element `index` of `leaves`, without listing those before."""
        choices: list[Choice] = []
        node = self
        while node.children:
            for choice, child in node.children.items():
                if index < child.count:
                    choices.append(choice)
                    node = child
                    break
                index -= child.count
        return tuple(choices)

    def used(self) -> tuple[set[Choice], ...]:
        """Return the choices that occur below, axis by axis."""
        levels: list[set[Choice]] = []
        nodes = {id(self): self}
        while nodes:
            level = {choice for node in nodes.values() for choice in node.children}
            if level:
                levels.append(level)
            nodes = {id(child): child for node in nodes.values() for child in node.children.values()}
        return tuple(levels)


LEAF = Node()


def grow(axes: Mapping[str, Axis], constraints: Sequence[Constraint], reasons: Counter[str] | None = None) -> Node:
    """Return the tree of all valid configurations; its count is 0 where there is none.

    Parameters
    ----------
    reasons
        Counts, where given, why combinations were left out.
    """
    growth = _Growth(axes, constraints)
    node, rejected = growth.node(0)
    if reasons is not None:
        reasons.update(rejected)
    return node


Grown = tuple[Node, Counter[str]]  # with the reasons why combinations below were left out


class _Growth:
    """Grows a tree level by level.

    Many prefixes leave the same open: below them stands one node. So 1,000 numbers of threads for each of 1,000 batches
    take 2,000 nodes.
    """

    def __init__(self, axes: Mapping[str, Axis], constraints: Sequence[Constraint]) -> None:
        self._axes = axes
        # A constraint is checked as soon as its last axis is chosen, so that whole branches fall away. By the choice on
        # that axis: most constraints of a long list are about one.
        self._checks: list[dict[Choice, list[Constraint]]] = [{} for _ in AXES]
        for constraint in constraints:
            level = max(AXES.index(axis) for axis in constraint.axes)
            for choice in _concerned(constraint, axes[AXES[level]]):
                self._checks[level].setdefault(choice, []).append(constraint)
        self._seen = [_seen_below(level, constraints) for level in range(len(AXES) + 1)]
        self._known: dict[tuple[object, ...], Grown] = {}
        self._prefix: dict[str, Choice] = {}

    def node(self, level: int) -> Grown:
        """Return what the present prefix, of the axes above `level`, leaves open."""
        if level == len(AXES):
            return LEAF, Counter()
        key = (level, *(seen(self._prefix[name]) for name, seen in self._seen[level]))
        if key not in self._known:
            self._known[key] = self._grown(level)
        return self._known[key]

    def _grown(self, level: int) -> Grown:
        name = AXES[level]
        children: dict[Choice, Node] = {}
        reasons = Counter[str]()
        for choice in _choices(self._axes[name], self._prefix):
            self._prefix[name] = choice
            if why := self._why_not(level, choice):
                reasons[why] += 1
                continue
            child, below = self.node(level + 1)
            if below:
                reasons.update(below)
            if child.count:
                children[choice] = child
        return Node(children, sum(child.count for child in children.values())), reasons

    def _why_not(self, level: int, choice: Choice) -> str | None:
        for constraint in self._checks[level].get(choice, ()):
            if why := constraint.why_invalid(self._prefix):
                return why
        if level < len(AXES) - 1:
            return None
        return why_invalid(_representative({name: self._prefix[name] for name in AXES}))


def _concerned(constraint: Constraint, axis: Axis) -> Iterable[Choice]:
    """Return the choices on the last axis of a constraint with which it may forbid something."""
    if (allowed := constraint.when.get(axis.name)) is None:
        return (*axis.choices, None)
    return [choice for choice in axis.choices if choice in allowed] if isinstance(allowed, Range) else allowed


def _seen_below(level: int, constraints: Sequence[Constraint]) -> list[tuple[str, Callable[[Any], object]]]:
    """Return the axes above `level` that decide what is left open from there on, with what is seen of their choices."""
    above = AXES[:level]
    wholly = {axis for each in constraints if not each.axes <= set(above) for axis in each.axes}
    wholly |= {axis for name in AXES[level:] if name in EXISTS for axis in EXISTS[name][0]}
    return [(name, _itself if name in wholly else SEEN[name]) for name in above if name in wholly or name in SEEN]


def _itself(choice: Choice) -> object:
    return choice, type(choice)


def _choices(axis: Axis, prefix: Mapping[str, Choice]) -> tuple[Choice, ...]:
    """Return the choices on `axis`, None alone where it does not exist: no ratio where nothing is removed."""
    if axis.name not in EXISTS:
        return axis.choices
    deciding, exists = EXISTS[axis.name]
    # A range stands for numbers that are all above its lowest, but for that one.
    values = [choice.high if isinstance(choice := prefix[name], Range) else choice for name in deciding]
    return axis.choices if exists(*values) else (None,)


def _representative(choices: Mapping[str, Choice]) -> Configuration:
    """Return a configuration for the validity rules, which do not look at where in a range a number lies."""
    values = {axis: choice.low if isinstance(choice, Range) else choice for axis, choice in choices.items()}
    return Configuration.from_dict(values)
