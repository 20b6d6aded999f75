"""Choices, shares and sizes → the way people read them, in tables, figures and lines."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table


def size(number_of_bytes: int) -> str:
    """Return a size for people: ``"812 B"``, ``"34.5 kB"``, ``"2.10 MB"``."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number_of_bytes >= factor:
            return f"{number_of_bytes / factor:.3g} {unit}"
    return f"{number_of_bytes} B"


def share(value: float | None) -> str:
    """Return a share in [0, 1] as ``"97.33 %"``; None as nothing."""
    return "" if value is None else f"{100 * value:.2f} %"


def choice(value: object) -> str:
    """Return a choice on an axis with what rich would take for markup escaped; None, where there is none, as a dash."""
    if value is None:
        return "-"
    return escape(f"{value:g}" if isinstance(value, float) else str(value))


def table(*columns: str) -> Table:
    """Return an empty table without lines, with these heads."""
    empty = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        empty.add_column(column)
    return empty
