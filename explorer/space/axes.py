"""The [axes] table of a search-space file → the choices on each axis, checked against what the explorer knows."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import product
from typing import Any

from explorer.core import plugins
from explorer.core.configuration import AXES, EXISTS, FORMATS, VECTOR, Configuration, parts
from explorer.core.errors import did_you_mean
from explorer.space.devices import why_no_name
from explorer.space.toml.toml_file import TomlFile
from explorer.space.toml.toml_lines import KeyPath

# Axis → smallest and largest value that makes sense.
INTEGERS: Mapping[str, tuple[int, int]] = {
    "channel_multiple": (1, 65_536), "batch": (1, 65_536), "tuning_trials": (0, 10_000_000),
    "tuning_seconds": (0, 10_000_000), "threads": (1, 4096),
}  # fmt: skip
# Likewise, and what the value is.
FLOATS: Mapping[str, tuple[float, float, str]] = {
    "width": (1e-3, 1000.0, "a multiplier"), "ratio": (1e-6, 1 - 1e-6, "a share"), "max_drop": (0.0, 1e9, "a loss"),
}  # fmt: skip
MOST_CHOICES = 10_000  # every one is a node of the space's tree
WORDS: Mapping[str, tuple[str, ...]] = {"channel_multiple": (VECTOR,)}  # that stand for a number
CUSTOM: tuple[str, ...] = ("dataset", "model", "compression")  # axes that take the user's own module:function


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; without a step every number between them."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


# A choice on an axis. A continuous range stands for all its values; None is, say, the ratio where nothing is removed.
Choice = str | int | float | Range | None

# Unless given, where the axis exists. Vectors of most processors have 8 elements, or half or twice as many.
DEFAULTS: Mapping[str, Choice] = {"channel_multiple": 8, "max_drop": 0.01, "tuner": "template"}


@dataclass(frozen=True)
class Axis:
    """One axis of the stack and its choices, in the order of the file.

    Parameters
    ----------
    range
        The range that the choices were written as, None for a list.
    """

    name: str
    choices: tuple[Choice, ...]
    range: Range | None = None

    @cached_property
    def spellings(self) -> frozenset[tuple[type, Choice]]:
        """The choices with their types, a whole float as an integer too: width 1 is width 1.0."""
        whole = [int(choice) for choice in self.choices if isinstance(choice, float) and choice.is_integer()]
        return frozenset((type(choice), choice) for choice in (*self.choices, *whole))

    @property
    def continuous(self) -> bool:
        """Whether the axis has infinitely many choices."""
        return self.range is not None and self.range.step is None


def read_axes(file: TomlFile, devices: Collection[str]) -> dict[str, Axis]:
    """Return every axis of the stack, in the stack's order; those that the file leaves out have their default alone.

    Raises
    ------
    SpaceError
        For an unknown axis or choice, a missing axis without default, an empty list, or a range that makes no sense.
        Names of devices are taken as they are: `space.load` decides whether they need an entry.
    """
    table = file.content.get("axes")
    if not isinstance(table, dict):
        raise file.error("the table [axes] is missing" if table is None else "axes is no table", "axes")
    for name in table:
        if name not in AXES:
            raise file.error(f"unknown axis '{name}'{did_you_mean(name, AXES)}", "axes", name)
    axes = {}
    for name in AXES:
        if name in table:
            axes[name] = _Reader(file, name, devices).axis(table[name])
        elif name in DEFAULTS and _may_exist(name, axes):
            axes[name] = Axis(name, (DEFAULTS[name],))
        elif hasattr(Configuration, name):
            axes[name] = Axis(name, (getattr(Configuration, name),))
        else:
            raise file.error(f"axis '{name}' is missing", "axes")
    return axes


def _may_exist(name: str, axes: Mapping[str, Axis]) -> bool:
    """Tell whether the axis exists with some of the choices on those above it."""
    deciding, exists = EXISTS[name]
    choices = [
        [choice.high if isinstance(choice, Range) else choice for choice in axes[other].choices] for other in deciding
    ]
    return any(exists(*values) for values in product(*choices))


def known_choices(axis: str, devices: Collection[str]) -> tuple[str, ...]:
    """Return the names that the explorer knows for `axis`."""
    if axis == "device":
        return tuple(devices)
    return FORMATS if axis == "format" else plugins.names(axis)


class _Reader:
    """Reads the choices of one axis; `_fail` knows where they stand in the file."""

    def __init__(self, file: TomlFile, name: str, devices: Collection[str]) -> None:
        self._file = file
        self._name = name
        self._devices = devices

    def axis(self, value: Any) -> Axis:
        at: KeyPath = ("axes", self._name)
        if isinstance(value, dict):
            return self._range_axis(value)
        if value == "all" and not self._numeric:
            return Axis(self._name, known_choices(self._name, self._devices))
        items = value if isinstance(value, list) else [value]
        if not items:
            raise self._file.error(f"axis {self._name} lists no choice", *at)
        if len(items) > MOST_CHOICES:
            listed = f"lists {len(items):,} choices"
            raise self._file.error(f"axis {self._name} {listed}, more than {MOST_CHOICES:,}", *at)
        choices: dict[Choice, None] = {}  # a list in which each is found at once
        for index, item in enumerate(items):
            where = (*at, index) if isinstance(value, list) else at
            choice = self._choice(item, where)
            if choice in choices:
                raise self._file.error(f"axis {self._name} lists {item!r} twice", *where)
            choices[choice] = None
        return Axis(self._name, tuple(choices))

    @property
    def _numeric(self) -> bool:
        return self._name in FLOATS or self._name in INTEGERS

    def _choice(self, item: Any, at: KeyPath) -> Choice:
        if isinstance(item, str) and item in WORDS.get(self._name, ()):
            return str(item)
        return self._number(item, at) if self._numeric else self._word(item, at)

    def _word(self, item: Any, at: KeyPath) -> str:
        if not isinstance(item, str):
            raise self._file.error(f"axis {self._name} takes names, not {item!r}", *at)
        known = known_choices(self._name, self._devices)
        for part in parts(item) if self._name == "device" else ():
            if why := why_no_name(part):
                raise self._file.error(f"device {item!r} on axis device: '{part}' is no name: {why}", *at)
        for part in parts(item) if self._name == "compression" else (item,):
            if part not in known and not _is_named_elsewhere(self._name, part):
                if item == "all":
                    raise self._file.error(f"'all' stands alone: write {self._name} = \"all\"", *at)
                if self._name == "device":
                    continue
                hint = f"; an ONNX file is written '{plugins.ONNX}{part}'" if part.endswith(".onnx") else ""
                raise self._file.error(
                    f"unknown {self._name} '{part}' on axis {self._name}{hint or did_you_mean(part, known)}", *at
                )
        return item

    def _number(self, item: Any, at: KeyPath) -> int | float:
        name = self._name
        integer = name in INTEGERS
        if isinstance(item, bool) or not isinstance(item, int if integer else int | float):
            kinds = ("integers" if integer else "numbers", *(f"'{word}'" for word in WORDS.get(name, ())))
            raise self._file.error(f"axis {name} takes {' or '.join(kinds)}, not {item!r}", *at)
        if integer and item < INTEGERS[name][0]:
            raise self._file.error(f"{name} {item} is below {INTEGERS[name][0]}", *at)
        if integer and item > INTEGERS[name][1]:
            raise self._file.error(f"{name} {item} is above {INTEGERS[name][1]:,}", *at)
        if not integer:
            low, high, what = FLOATS[name]
            if not low <= item <= high:
                raise self._file.error(f"{name} {item} is not {what} from {low:g} to {high:.10g}", *at)
        return int(item) if integer else float(item)

    def _range_axis(self, table: Mapping[str, Any]) -> Axis:
        at: KeyPath = ("axes", self._name)
        if not self._numeric:
            raise self._file.error(f"axis {self._name} takes names, not a range", *at)
        parsed = self._range(table, at)
        if parsed.low == parsed.high:
            return Axis(self._name, (parsed.low,))
        if parsed.step is None:
            return Axis(self._name, (parsed,), parsed)
        if (parsed.high - parsed.low) / parsed.step >= MOST_CHOICES:
            raise self._file.error(f"axis {self._name} has more than {MOST_CHOICES} steps; use a larger step", *at)
        choices = _steps(parsed, integer=self._name in INTEGERS)
        return Axis(self._name, choices, Range(choices[0], choices[-1], parsed.step, parsed.log))

    def _range(self, table: Mapping[str, Any], at: KeyPath) -> Range:
        keys = ("low", "high", "step", "log")
        for key in table:
            if key not in keys:
                raise self._file.error(
                    f"unknown key '{key}' in the range of axis {self._name}{did_you_mean(key, keys)}", *at, key
                )
        for key in ("low", "high"):
            if key not in table:
                raise self._file.error(f"the range of axis {self._name} has no {key}", *at)
        low, high = (self._number(table[key], (*at, key)) for key in ("low", "high"))
        if low > high:
            raise self._file.error(f"axis {self._name}: low {low} is above high {high}", *at, "low")
        step, log = self._step(table, at), table.get("log", False)
        if not isinstance(log, bool):
            raise self._file.error(f"axis {self._name}: log is true or false, not {log!r}", *at, "log")
        if log and "step" in table:
            raise self._file.error(f"axis {self._name}: a range has a step or log = true, not both", *at, "log")
        if log and low <= 0:
            raise self._file.error(f"axis {self._name}: a logarithmic range starts above 0", *at, "low")
        return Range(low, high, step, log)

    def _step(self, table: Mapping[str, Any], at: KeyPath) -> float | None:
        integer = self._name in INTEGERS
        step = table.get("step", 1 if integer else None)
        if step is None:
            return None
        if isinstance(step, bool) or not isinstance(step, int if integer else int | float) or not 0 < step < math.inf:
            kind = "integer" if integer else "number"
            raise self._file.error(f"axis {self._name}: step is a positive {kind}, not {step!r}", *at, "step")
        return step


def _is_named_elsewhere(axis: str, name: str) -> bool:
    """Tell whether `name` may be the user's own or, of a model, a library's or an ONNX file; workers look at them."""
    if plugins.is_onnx(name):
        return axis == "model" and name != plugins.ONNX
    if plugins.of_library(name):
        return axis == "model" and re.fullmatch(r"\w+:[\w.]+", name) is not None
    return axis in CUSTOM and re.fullmatch(r"\w+(\.\w+)*:\w+", name) is not None


def _steps(numbers: Range, *, integer: bool) -> tuple[int | float, ...]:
    """Return the values of a range with a step."""
    # In decimal, as written: 0.3 + 3 * 0.1 is 0.6, not 0.6000000000000001.
    low, high, step = (Decimal(str(number)) for number in (numbers.low, numbers.high, numbers.step))
    values = (low + index * step for index in range(int((high - low) / step) + 1))
    return tuple(int(value) if integer else float(value) for value in values)
