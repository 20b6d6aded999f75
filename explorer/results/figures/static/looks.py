"""Plotly's pixels, colours, dashes, symbols and HTML → Matplotlib's points, colours, dashes, markers and lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Any

PX_PER_INCH = 100.0
POINT = 72.0 / PX_PER_INCH  # points that a pixel has
TEXT, GRID = "#222222", "#EBF0F8"  # of the template plotly_white

# Plotly's symbol → Matplotlib's marker, and its size over that of a circle of the same size in Plotly.
SYMBOLS = {
    "circle": ("o", 1.0),
    "square": ("s", 1.0),
    "diamond": ("D", 0.92),
    "triangle-up": ("^", 1.12),
    "triangle-down": ("v", 1.12),
    "cross": ("P", 1.15),
    "x": ("X", 1.15),
    "star": ("*", 1.5),
    "hexagon": ("h", 1.08),
    "pentagon": ("p", 1.08),
    "line-ns": ("|", 1.4),
    "line-ew": ("_", 1.4),
}
DASHES: dict[str, Any] = {"solid": "solid", "dash": (0, (5, 3)), "dot": (0, (1.2, 2)), "dashdot": (0, (5, 2, 1.2, 2))}
OPEN = "-open"


class UnknownPart(Exception):
    """A part of a Plotly figure that is not drawn here yet: a bug of whoever drew the figure, or left it out here."""


def colour(value: Any) -> Any:
    """Return a colour of Plotly's as one of Matplotlib's: names and ``#rrggbb`` are the same, ``rgba(...)`` is not."""
    if isinstance(value, str) and (found := re.fullmatch(r"rgba?\(([^)]*)\)", value)):
        red, green, blue, *alpha = (float(part) for part in found[1].split(","))
        return (red / 255, green / 255, blue / 255, *(alpha or [1.0]))
    return value


def dash(name: str | None) -> Any:
    """Return the line style of a dash.

    Raises
    ------
    UnknownPart
        If it has no counterpart here.
    """
    if (name or "solid") not in DASHES:
        raise UnknownPart(f"dash {name}")
    return DASHES[name or "solid"]


def symbol(name: str | None) -> tuple[str, float, bool]:
    """Return marker and relative size of a symbol, and whether it is an open one.

    Raises
    ------
    UnknownPart
        If it has no counterpart here.
    """
    plain = (name or "circle").removesuffix(OPEN)
    if plain not in SYMBOLS:
        raise UnknownPart(f"symbol {name}")
    marker, scale = SYMBOLS[plain]
    return marker, scale, plain != (name or "circle")


def each(value: Any, count: int, default: Any = None) -> list[Any]:
    """Return what Plotly takes for every point: a list as it is, and one value, or `default`, `count` times."""
    if value is None:
        return [default] * count
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return [value] * count
    return list(value)


@dataclass(frozen=True)
class Run:
    """Text in one style; `size` is in pixels, None for that of the whole."""

    text: str
    bold: bool = False
    italic: bool = False
    size: float | None = None
    colour: str | None = None


def runs(html: str | None) -> list[list[Run]]:
    """Return the lines of a text with Plotly's HTML: bold, italic, and spans with a size in pixels and a colour."""
    parser = _Runs()
    parser.feed(html or "")
    parser.close()
    return parser.lines


def plain(html: str | None) -> str:
    """Return a text without its HTML, a line for each of its lines."""
    return "\n".join("".join(run.text for run in line) for line in runs(html))


class _Runs(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[list[Run]] = [[]]
        self._styles = [Run("")]

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.lines.append([])
            return
        now = self._styles[-1]
        style = dict(attrs).get("style") or ""
        size = re.search(r"font-size:\s*([\d.]+)px", style)
        ink = re.search(r"(?<![-\w])color:\s*([^;]+)", style)
        self._styles.append(
            replace(
                now,
                bold=now.bold or tag == "b",
                italic=now.italic or tag == "i",
                size=float(size[1]) if size else now.size,
                colour=ink[1].strip() if ink else now.colour,
            )
        )

    def handle_endtag(self, tag: str) -> None:
        if tag != "br" and len(self._styles) > 1:
            self._styles.pop()

    def handle_data(self, data: str) -> None:
        self.lines[-1].append(replace(self._styles[-1], text=data))
