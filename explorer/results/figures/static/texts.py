"""Text with Plotly's HTML → wrapped lines on a Matplotlib figure, each run in its own style."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from explorer.results.figures.static import looks
from explorer.results.figures.static.looks import POINT, PX_PER_INCH, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

LEADING = 1.35  # from one line to the next, over the size of the text


def block(figure: Figure, html: str, left: float, width: float, size: float) -> float:
    """Draw a text at the top of a figure and return how far it reaches down, in pixels.

    Parameters
    ----------
    left, width
        In pixels; lines that are wider are folded at spaces.
    size
        Of text that names none, in pixels.
    """
    down = 10.0
    for line in looks.runs(html):
        for folded in _folded(figure, line, width, size):
            tall = max((run.size or size for run in folded), default=size)
            down += tall * LEADING
            across = left
            for run in folded:
                across += _put(figure, run, across, down, size)
    return down


def _put(figure: Figure, run: Run, left: float, down: float, size: float) -> float:
    """Draw a run with its baseline `down` from the top and return its width."""
    wide, tall = (side * PX_PER_INCH for side in figure.get_size_inches())
    text = figure.text(left / wide, 1 - down / tall, run.text, va="baseline", **_style(run, size))
    return width_of(text)


def _style(run: Run, size: float) -> dict[str, Any]:
    return {
        "fontsize": (run.size or size) * POINT,
        "fontweight": "bold" if run.bold else "normal",
        "fontstyle": "italic" if run.italic else "normal",
        "color": looks.colour(run.colour or looks.TEXT),
    }


def width_of(text: Text) -> float:
    """Return the width of a text in pixels, its spaces at both ends counted."""
    from matplotlib.textpath import TextPath

    figure = text.get_figure(root=True)
    if figure is None or not text.get_text():
        return 0.0
    inked = text.get_text().strip()
    box = text.get_window_extent()
    spaces = len(text.get_text()) - len(inked)
    blank = TextPath((0, 0), "n n", prop=text.get_fontproperties()).get_extents().width
    blank -= TextPath((0, 0), "nn", prop=text.get_fontproperties()).get_extents().width
    seen = box.width / figure.dpi * PX_PER_INCH if inked else 0.0
    return seen + spaces * blank / POINT


def _folded(figure: Figure, line: Sequence[Run], width: float, size: float) -> list[list[Run]]:
    """Return a line as several that are at most `width` wide, where spaces allow."""
    words = [
        replace(run, text=word + (" " if index < len(parts) - 1 else ""))
        for run in line
        for parts in (re.split(r" (?!%)", run.text),)  # "95 %" stays together
        for index, word in enumerate(parts)
    ]
    found: list[list[Run]] = [[]]
    used = 0.0
    for word in words:
        sample = figure.text(0, 0, word.text, **_style(word, size))
        wide = width_of(sample)
        sample.remove()
        if found[-1] and used + wide > width and word.text.strip():
            found.append([])
            used = 0.0
        used += wide
        last = found[-1][-1] if found[-1] else None
        if last is not None and replace(last, text="") == replace(word, text=""):
            found[-1][-1] = replace(last, text=last.text + word.text)
        else:
            found[-1].append(word)
    return found
