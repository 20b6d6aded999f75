"""The [[constraints]] tables of a search-space file → rules between axes, each with a reason for what it forbids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from explorer.core.configuration import AXES
from explorer.core.errors import did_you_mean
from explorer.space.axes import Axis, Choice, Range
from explorer.space.toml.toml_file import TomlFile
from explorer.space.toml.toml_lines import KeyPath

MOST_CONSTRAINTS = 1_000
Allowed = tuple[Choice, ...] | Range
Conditions = Mapping[str, Allowed]


@dataclass(frozen=True)
class Constraint:
    """Where every condition of `when` holds, each axis of `require` has one of its values and none of `forbid` has.

    An axis that does not exist in a configuration (the ratio where nothing is removed) meets no condition of `when`
    and satisfies `require` and `forbid`.
    """

    when: Conditions
    require: Conditions
    forbid: Conditions
    place: str = field(repr=False, compare=False)  # where the file says so; not part of what it says
    reason: str = field(default="", repr=False, compare=False)  # of a constraint that no file says

    @property
    def axes(self) -> frozenset[str]:
        """The axes that the constraint looks at."""
        return frozenset((*self.when, *self.require, *self.forbid))

    def why_invalid(self, values: Mapping[str, Choice]) -> str | None:
        """Return why the constraint forbids `values`, which has all of its axes, or None."""
        if not all(_matches(values[axis], allowed) for axis, allowed in self.when.items()):
            return None
        for axis, allowed in self.require.items():
            if values[axis] is not None and not _matches(values[axis], allowed):
                return self._forbids(axis, values[axis])
        for axis, forbidden in self.forbid.items():
            if _matches(values[axis], forbidden):
                return self._forbids(axis, values[axis])
        return None

    def _forbids(self, axis: str, value: Choice) -> str:
        return self.reason or f"the constraint at {self.place} forbids {axis} {value}{self._condition}"

    @property
    def _condition(self) -> str:
        conditions = (f"{axis} {_text(allowed)}" for axis, allowed in self.when.items())
        return f" with {' and '.join(conditions)}" if self.when else ""


def read_constraints(file: TomlFile, axes: Mapping[str, Axis]) -> tuple[Constraint, ...]:
    """Return the constraints of the file.

    Raises
    ------
    SpaceError
        For an unknown key, axis or choice, and for a condition on a continuous axis.
    """
    tables = file.content.get("constraints", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise file.error("constraints are tables that start with a line [[constraints]]", "constraints")
    if len(tables) > MOST_CONSTRAINTS:
        raise file.error(f"there are {len(tables):,} constraints, more than {MOST_CONSTRAINTS:,}", "constraints")
    return tuple(_constraint(file, axes, table, index) for index, table in enumerate(tables))


def _constraint(file: TomlFile, axes: Mapping[str, Axis], table: Mapping[str, Any], index: int) -> Constraint:
    at: KeyPath = ("constraints", index)
    parts = ("when", "require", "forbid")
    for key in table:
        if key not in parts:
            raise file.error(f"unknown key '{key}' in a constraint{did_you_mean(key, parts)}", *at, key)
    if not table.get("require") and not table.get("forbid"):
        raise file.error("a constraint needs require = { ... } or forbid = { ... }", *at)
    when, require, forbid = (_conditions(file, axes, table.get(part, {}), (*at, part)) for part in parts)
    line = file.lines.get(at)
    return Constraint(when, require, forbid, f"line {line}" if line else f"number {index + 1}")


def _conditions(file: TomlFile, axes: Mapping[str, Axis], table: Any, at: KeyPath) -> Conditions:
    if not isinstance(table, dict):
        raise file.error(f"{at[-1]} takes axes, such as {at[-1]} = {{ threads = [1] }}", *at)
    conditions: dict[str, Allowed] = {}
    for name, value in table.items():
        if name not in axes:
            raise file.error(f"unknown axis '{name}' in a constraint{did_you_mean(name, AXES)}", *at, name)
        if axes[name].continuous:
            raise file.error(f"a constraint on axis {name} needs a step in the axis' range", *at, name)
        conditions[name] = _allowed(file, axes[name], value, (*at, name))
    return conditions


def _allowed(file: TomlFile, axis: Axis, value: Any, at: KeyPath) -> Allowed:
    if isinstance(value, dict):
        if set(value) != {"low", "high"} or not all(_is_number(bound) for bound in value.values()):
            raise file.error(f"a range in a constraint is {{ low = NUMBER, high = NUMBER }}, not {value!r}", *at)
        if value["low"] > value["high"]:
            raise file.error(f"low {value['low']} is above high {value['high']}", *at)
        return Range(value["low"], value["high"])
    items: Sequence[Any] = value if isinstance(value, list) else [value]
    if not items:
        raise file.error(f"a constraint lists no {axis.name}", *at)
    for index, item in enumerate(items):
        if not isinstance(item, str | int | float) or (type(item), item) not in axis.spellings:
            where = (*at, index) if isinstance(value, list) else at
            raise file.error(f"the space has no {axis.name} {item!r}{did_you_mean(item, axis.choices)}", *where)
    return tuple(items)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _matches(value: Choice, allowed: Allowed) -> bool:
    return value is not None and value in allowed


def _text(allowed: Allowed) -> str:
    if isinstance(allowed, Range):
        return f"in {allowed}"
    return " or ".join(str(choice) for choice in allowed)
