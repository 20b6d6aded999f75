"""Axes and constraints → a prefix tree of the valid configurations, in which every branch can be completed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from explorer.core.configuration import AXES, EXISTS, Configuration, why_invalid
from explorer.space.axes import Axis, Choice, Range
from explorer.space.constraints import Constraint


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
    # A constraint is checked as soon as its last axis is chosen, so that whole branches fall away.
    checks: list[list[Constraint]] = [[] for _ in AXES]
    for constraint in constraints:
        checks[max(AXES.index(axis) for axis in constraint.axes)].append(constraint)
    prefix: dict[str, Choice] = {}
    rejected = Counter[str]() if reasons is None else reasons

    def reason(level: int) -> str | None:
        for constraint in checks[level]:
            if why := constraint.why_invalid(prefix):
                return why
        return why_invalid(_representative(prefix)) if level == len(AXES) - 1 else None

    def node(level: int) -> Node:
        if level == len(AXES):
            return LEAF
        name = AXES[level]
        children: dict[Choice, Node] = {}
        for choice in _choices(axes[name], prefix):
            prefix[name] = choice
            if why := reason(level):
                rejected[why] += 1
            elif (child := node(level + 1)).count:
                children[choice] = child
        return Node(children, sum(child.count for child in children.values()))

    return node(0)


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
