"""A row of a study's trials as the database has it → why it cannot be one that the explorer wrote, or None if it can.

Databases keep what other programs write into them, and SQLite keeps any value in any column.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from explorer.core.configuration import AXES, Configuration
from explorer.core.errors import Failure
from explorer.core.measurement.quantities import QUANTITIES
from explorer.workspace.database.unreadable import Unreadable


def why_odd(row: Mapping[str, Any], needed: Collection[str] = ()) -> str | None:
    """Return what is odd about a row of trials; it may have some of their columns only.

    Parameters
    ----------
    needed
        The quantities that a complete trial has: the study's objectives.
    """
    for name, value in row.items():
        if isinstance(value, Unreadable):
            return f"its {name} cannot be read: {value.why}"
        if name in CHECKS and (why := CHECKS[name](value)):
            return f"its {name} {why}"
    if "values" in row and row.get("failure") is None:
        lacking = [name for name in needed if name not in row["values"]]
        return f"its values have no {lacking[0]}" if lacking else None
    return None


def _number(value: object) -> str | None:
    return None if _is_whole(value) else f"is {_short(value)}, no whole number"


def _seconds(value: object) -> str | None:
    return None if is_finite(value) else f"is {_short(value)}, no finite number"


def _finished(value: object) -> str | None:
    return None if isinstance(value, datetime.datetime) else f"is {_short(value)}, no time"


def _configuration(value: object) -> str | None:
    if not isinstance(value, dict):
        return f"is {_short(value)}, no object"
    if unknown := sorted(set(value) - set(AXES)):
        return f"has an unknown axis, {unknown[0]}"
    for field in fields(Configuration):
        if field.name not in value:
            if field.default is MISSING:
                return f"has no {field.name}"
            continue
        choice = value[field.name]
        if isinstance(choice, bool) or not isinstance(choice, _kinds()[field.name]):
            return f"has {field.name} {_short(choice)}"
        if isinstance(choice, int | float) and not (math.isfinite(choice) and choice >= 0):
            return f"has {field.name} {_short(choice)}"
    return None


def _values(value: object) -> str | None:
    if not isinstance(value, dict):
        return f"are {_short(value)}, no object"
    for name, each in value.items():
        plain = each is None or isinstance(each, str | bool) or is_finite(each)
        if not plain or (_quantity(name) and not is_finite(each)):
            return f"have {name} {_short(each)}"
        if name.endswith("_key") and not (isinstance(each, str) and Path(each).name == each):
            return f"have {name} {_short(each)}"
    return None


def _failure(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        return f"is {_short(value)}, no object"
    own = {field.name: field.default is MISSING for field in fields(Failure)}
    if not {name for name, needed in own.items() if needed} <= set(value) <= set(own):
        return "has other fields than a failure"
    texts = [value[name] for name in ("stage", "kind", "message")]
    return None if all(isinstance(text, str) for text in texts) else "has a field that is no text"


CHECKS = {
    "number": _number,
    "seconds": _seconds,
    "finished": _finished,
    "configuration": _configuration,
    "values": _values,
    "failure": _failure,
}


def is_finite(value: object) -> bool:
    """Tell whether a value is a number that is neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _quantity(column: str) -> bool:
    """Tell whether a column has a quantity, which is a number wherever it is on record."""
    name = column.partition(" on ")[0]
    return name in QUANTITIES or name.endswith("_ms")


@cache
def _kinds() -> Mapping[str, tuple[type, ...]]:
    """Return axis → the types of its choices; a whole number may stand for any number."""
    hints = get_type_hints(Configuration)
    kinds = {name: get_args(hint) if isinstance(hint, UnionType) else (hint,) for name, hint in hints.items()}
    return {name: (*own, int) if float in own else tuple(own) for name, own in kinds.items()}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
