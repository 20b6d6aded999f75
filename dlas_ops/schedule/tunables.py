"""A schedule's free choices: each named, with the values it may take, the rule-based one first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

# What a tunable may be set to: a number, a word or, of a tile, a tuple of numbers.
Value: TypeAlias = Any
Space: TypeAlias = Mapping[str, Sequence[Value]]
Choice: TypeAlias = Mapping[str, Value]


def chosen(space: Space, choice: Choice | None = None) -> dict[str, Value]:
    """Return one value per name of `space`: what `choice` says, else the rule-based value.

    Raises
    ------
    ValueError
        If `choice` names what `space` does not have, or a value that it does not allow.
    """
    values = {name: allowed[0] for name, allowed in space.items()}
    for name, value in (choice or {}).items():
        if name not in space:
            raise ValueError(f"unknown tunable '{name}'; there are {', '.join(sorted(space)) or 'none'}")
        if value not in space[name]:
            raise ValueError(f"tunable {name} = {value!r} is not allowed; one of {list(space[name])} is")
        values[name] = value
    return values


def rule_first(rule: Value, others: Sequence[Value]) -> list[Value]:
    """Return `others` with the rule-based value in front of them, once."""
    return [rule, *(other for other in others if other != rule)]
