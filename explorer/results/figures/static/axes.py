"""A Plotly axis and what is drawn along it → positions, scale, limits and ticks of a Matplotlib axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from explorer.results.figures.static import looks
from explorer.results.figures.static.looks import POINT, UnknownPart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIGITS = {"D1": range(1, 10), "D2": (1, 2, 5)}  # of a decade, that Plotly's dtick of this name marks
MOST_DECADES = 3.0  # that ticks at 1, 2 and 5 do not crowd


class Axis:
    """One axis of a Plotly figure.

    Parameters
    ----------
    letter
        ``"x"`` or ``"y"``.
    layout
        The axis of the figure's layout, such as ``figure.layout.xaxis2``.
    values
        All that traces have along it.
    pad
        Room before the first name and after the last one, as a share of that between two.
    """

    def __init__(self, letter: str, layout: Any, values: Iterable[Any], pad: float = 0.5) -> None:
        self.letter, self.layout = letter, layout
        known = [value for value in values if value is not None]
        named = any(isinstance(value, str) for value in known)
        self.kind = layout.type or ("category" if named else "linear")
        if self.kind not in ("linear", "log", "category"):
            raise UnknownPart(f"axis of type {self.kind}")
        self.pad = pad
        self.names: list[Any] = []
        if self.kind == "category":
            self.names = list(dict.fromkeys([*(layout.categoryarray or ()), *known]))
        self._places = {name: place for place, name in enumerate(self.names)}

    def at(self, values: Iterable[Any]) -> list[float]:
        """Return the positions of values; NaN for a gap."""
        if self.kind == "category":
            return [math.nan if value is None else float(self._places[value]) for value in values]
        return [math.nan if value is None else float(value) for value in values]

    def scale(self, axes: Axes) -> None:
        """Set the scale, before anything is drawn."""
        if self.kind == "log":
            (axes.set_xscale if self.letter == "x" else axes.set_yscale)("log")

    def limit(self, axes: Axes) -> None:
        """Set the limits, after all is drawn."""
        low, high = axes.get_xlim() if self.letter == "x" else axes.get_ylim()
        if self.kind == "category":
            low, high = -self.pad, len(self.names) - 1 + self.pad
        elif self.layout.range is not None:
            low, high = (10.0**end if self.kind == "log" else float(end) for end in self.layout.range)
        elif self.layout.rangemode == "tozero" and self.kind == "linear":
            low, high = min(0.0, low), max(0.0, high)
        if self.layout.autorange == "reversed":
            low, high = max(low, high), min(low, high)
        (axes.set_xlim if self.letter == "x" else axes.set_ylim)(low, high)

    def dress(self, axes: Axes, font: float) -> None:
        """Set ticks, grid, lines and title; `font` is the size of the text in pixels."""
        layout, axis = self.layout, axes.xaxis if self.letter == "x" else axes.yaxis
        low_side, high_side = ("bottom", "top") if self.letter == "x" else ("left", "right")
        axes.spines[high_side].set_visible(False)
        axes.spines[low_side].set_visible(bool(layout.showline))
        axes.spines[low_side].set_color(looks.colour(layout.linecolor or "#999"))
        if layout.visible is False:
            axis.set_visible(False)
            axes.spines[low_side].set_visible(False)
            return
        self._tick(axes)
        shown = layout.showticklabels is not False
        length = 5 * POINT if layout.ticks == "outside" else 0
        ink, size = looks.colour(looks.TEXT), font * 0.9 * POINT
        axis.set_tick_params(
            which="major", length=length, color="#999", labelcolor=ink, labelsize=size, label1On=shown, pad=3
        )
        axis.set_tick_params(which="minor", length=0)
        if layout.showgrid is not False:
            axis.grid(True, which="major", color=looks.GRID, linewidth=1.0)
        title = looks.plain(layout.title.text)
        if title:
            axis.set_label_text(title, fontsize=font * POINT, color=ink)
            axis.labelpad = 6

    def _tick(self, axes: Axes) -> None:
        from matplotlib import ticker

        axis = axes.xaxis if self.letter == "x" else axes.yaxis
        if self.layout.tickvals is not None:
            places = self.at(self.layout.tickvals)
            texts = [looks.plain(text) for text in self.layout.ticktext or map(self._text, places)]
            inside = [(place, text) for place, text in zip(places, texts, strict=True) if self._holds(axes, place)]
            axis.set_ticks([place for place, _ in inside], [text for _, text in inside])
        elif self.kind == "category":
            axis.set_ticks(range(len(self.names)), [looks.plain(str(name)) for name in self.names])
        else:
            if self.kind == "log":
                axis.set_major_locator(ticker.FixedLocator(self._decades(axes)))
            axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: self._text(value)))
        axis.set_minor_locator(ticker.NullLocator())

    def _text(self, value: float) -> str:
        if self.layout.tickformat:
            return format(value, self.layout.tickformat)
        return f"{float(value):g}".replace("e-", "e~").replace("-", "\N{MINUS SIGN}").replace("e~", "e-")

    def _ends(self, axes: Axes) -> tuple[float, float]:
        low, high = axes.get_xlim() if self.letter == "x" else axes.get_ylim()
        return min(low, high), max(low, high)

    def _holds(self, axes: Axes, place: float) -> bool:
        low, high = self._ends(axes)
        return low <= place <= high

    def _decades(self, axes: Axes) -> list[float]:
        """Return the ticks of a logarithmic axis."""
        low, high = self._ends(axes)
        wide = math.log10(high / low) > MOST_DECADES
        digits: Sequence[int] = DIGITS.get(self.layout.dtick, (1,) if wide else (1, 2, 5))
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [place for decade in decades for digit in digits if self._holds(axes, place := digit * 10.0**decade)]
