"""The text of a column → its value, or what says why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Unreadable:
    """The value of a column that cannot be read, and why."""

    why: str


def plain(text: str | bytes) -> object:
    """Return what a column's JSON says; `Unreadable` where it says nothing, for the reader to judge."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        return Unreadable(str(error))
