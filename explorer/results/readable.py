"""Choices, shares and sizes → the way people read them, in tables, figures and lines."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from explorer.core.measurement.quantities import QUANTITIES

DISTURBED = "disturbed: no session that measured this latency was quiet; dlas show, with the trial's number, says why."
EMULATED = "emulated: no real device was measured; such a latency says nothing of one."


def device(name: str, emulated: bool) -> str:
    """Return the name of a device, marked if it is emulated: ``"arm (emulated)"``."""
    return f"{name} (emulated)" if emulated else name


def size(number_of_bytes: int) -> str:
    """Return a size for people: ``"812 B"``, ``"34.5 kB"``, ``"2.10 MB"``."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number_of_bytes >= factor:
            return f"{number_of_bytes / factor:.3g} {unit}"
    return f"{number_of_bytes} B"


def quantity(name: str, value: float) -> str:
    """Return a quantity's value for people; `name` is that of `explorer.core.measurement.quantities`."""
    if math.isnan(value):
        return ""
    if name.endswith("_bytes"):
        return size(int(value))
    if name not in QUANTITIES:  # a metric of the user's own
        return f"{value:.4g}"
    return share(value) if name == "accuracy" else f"{value:.3f}" if name.endswith("_ms") else f"{value:,.0f}"


def share(value: float | None) -> str:
    """Return a share in [0, 1] as ``"97.33 %"``; None as nothing."""
    return "" if value is None else f"{100 * value:.2f} %"


def probability(value: float) -> str:
    """Return a probability as ``"97 %"``; close to 0 and to 1, with a digit or as a bound, so that neither is claimed.

    >>> probability(0.9962)
    '99.6 %'
    >>> probability(1.0)
    'over 99.9 %'
    """
    if value < 0.001:
        return "under 0.1 %"
    if value > 0.999:
        return "over 99.9 %"
    return f"{100 * value:.1f} %" if min(value, 1 - value) < 0.01 else f"{100 * value:.0f} %"


def choice(value: object) -> str:
    """Return a choice on an axis; None, where there is none, as a dash."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def headed(head: str, rest: str) -> Text:
    """Return a line that begins with a `head` in bold."""
    return Text.assemble((head, "bold"), rest)


def noted(note: str) -> Text:
    """Return a note, its first word in yellow."""
    return Text.assemble(("note:", "yellow"), f" {note}")


def table(*columns: str) -> Table:
    """Return an empty table without lines, with these heads."""
    empty = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        empty.add_column(column)
    return empty
