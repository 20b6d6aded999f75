"""A Plotly figure → a PNG, SVG or PDF of the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.results.figures.layout import COLOURS
from explorer.results.figures.static import legend, looks, texts, traces
from explorer.results.figures.static.axes import Axis
from explorer.results.figures.static.looks import PX_PER_INCH
from explorer.results.figures.static.marks import Area, Marks, Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DPI = 200  # of a PNG: twice the pixels of the page
WIDTH_PX = 1100.0
ROOM_PX = 14.0  # between plots and what stands beside them
NAMES_PAD = 0.25  # before the first and after the last name on an axis, where no bars stand on them
TITLES_PX = 20.0  # above plots that may have titles of their own
MARGINS: Mapping[str, float] = {"l": 75.0, "r": 30.0, "t": 60.0, "b": 60.0}


def write(figure: Any, path: Path, dpi: int = DPI, width_px: float | None = None) -> None:
    """Write a Plotly figure into `path`, in the format that its ending names; the same figure gives the same bytes.

    Parameters
    ----------
    dpi
        Pixels an inch of a PNG; 100 of the page's pixels are an inch.
    width_px
        In the page's pixels; that of the figure, or 1100, unless given.

    Raises
    ------
    UnknownPart
        If the figure has something that is not drawn here.
    """
    kind = path.suffix[1:].lower()
    with _settings(figure.layout.font.family or ""):
        drawn = _drawn(figure, width_px or figure.layout.width or WIDTH_PX)
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
        drawn.savefig(
            path, format=kind, dpi=dpi, metadata=dates, facecolor="white", bbox_inches="tight", pad_inches=0.12
        )


@contextlib.contextmanager
def _settings(families: str) -> Iterator[None]:
    """Use the first of some fonts that is installed, and write nothing that differs from run to run."""
    import matplotlib
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    wanted = [name.strip(" \"'") for name in families.split(",")]
    fonts = [name for name in (*wanted, "Liberation Sans", "Arimo", "DejaVu Sans") if name in installed]
    own: dict[Any, Any] = {"svg.hashsalt": "dlas", "svg.fonttype": "path", "text.parse_math": False}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever style the user has
        matplotlib.rcParams.update({**own, "font.family": fonts or ["sans-serif"]})
        yield


def _drawn(plotly: Any, wide: float) -> Figure:
    """Return the figure as Matplotlib's, drawn and laid out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    traces.refuse_unknown(plotly)
    layout, font = plotly.layout, float(plotly.layout.font.size or 12)
    asked = {side: layout.margin[side] for side in MARGINS}
    margin = {side: default if asked[side] is None else float(asked[side]) for side, default in MARGINS.items()}
    tall = float(layout.height or 450)
    figure = Figure(figsize=(wide / PX_PER_INCH, tall / PX_PER_INCH), dpi=PX_PER_INCH)
    FigureCanvasAgg(figure)
    if layout.title.text:
        left = 0.01 * wide
        heading = texts.block(figure, layout.title.text, left, wide - 2 * left, float(layout.title.font.size or 17))
        margin["t"] = heading + (TITLES_PX if layout.annotations else 0) + 2 * ROOM_PX
    inks = _inks(plotly)
    panels = _panels(figure, plotly, font, inks)
    shown = legend.Legends(figure, plotly, inks, float(layout.legend.font.size or font))
    if shown.level:
        margin["t"] += shown.height + ROOM_PX
    else:
        margin["r"] = max(margin["r"], shown.width + 2 * ROOM_PX)
    area = _place(figure, plotly, panels, margin, (wide, tall))
    shown.move(area, ROOM_PX)
    marks = Marks(figure, panels, area)
    for shape in layout.shapes:
        marks.shape(shape)
    for note in layout.annotations:
        marks.annotation(note, font)
    return figure


def _inks(plotly: Any) -> list[str]:
    """Return the colour of each trace that names none for its markers: its line's, or the next of the palette."""
    palette = plotly.layout.colorway or plotly.layout.template.layout.colorway or COLOURS
    return [
        (trace.line.color if trace.type.startswith("scatter") else None) or palette[index % len(palette)]
        for index, trace in enumerate(plotly.data)
    ]


def _panels(figure: Figure, plotly: Any, font: float, inks: Sequence[str]) -> dict[tuple[str, str], Panel]:
    """Return the plots with their traces, by the names of their axes."""
    names = list(dict.fromkeys(map(_names, plotly.data)))
    panels: dict[tuple[str, str], Panel] = {}
    roots: dict[str, Any] = {}
    for x, y in names:
        layouts = {name: plotly.layout[f"{name[0]}axis{name[1:]}"] for name in (x, y)}
        if all(layout.visible is False for layout in layouts.values()):
            continue
        axes = figure.add_axes((0, 0, 1, 1), label=f"{x}{y}")
        for name in (x, y):
            root = layouts[name].matches or name
            if root in roots:
                (axes.sharex if name[0] == "x" else axes.sharey)(roots[root])
            roots.setdefault(root, axes)
        blocks = any(not trace.type.startswith("scatter") for trace in plotly.data)
        across, along = (
            Axis(
                name[0],
                layouts[name],
                _along(plotly, name, layouts[name].matches or name),
                0.5 if blocks else NAMES_PAD,
            )
            for name in (x, y)
        )
        panels[x, y] = axes, across, along
        across.scale(axes)
        along.scale(axes)
    for (x, y), (axes, across, along) in panels.items():
        own = [(trace, ink) for trace, ink in zip(plotly.data, inks, strict=True) if _names(trace) == (x, y)]
        bars = [trace for trace, _ in own if trace.type == "bar"]
        place = traces.Place(axes, across, along, bars, plotly.layout.barmode or "group", "")
        for order, (trace, ink) in enumerate(own):
            place.colour = looks.colour(ink)
            traces.draw(trace, place, 2.0 + order)
    for axes, across, along in panels.values():
        across.limit(axes)
        along.limit(axes)
    for axes, across, along in panels.values():
        across.dress(axes, font)
        along.dress(axes, font)
        axes.set_facecolor("white")
    return panels


def _names(trace: Any) -> tuple[str, str]:
    """Return the names of a trace's axes."""
    return trace.xaxis or "x", trace.yaxis or "y"


def _along(plotly: Any, name: str, root: str) -> list[Any]:
    """Return all values along an axis and along those that share its scale."""
    letter, found = name[0], list[Any]()
    for trace in plotly.data:
        own = getattr(trace, f"{letter}axis") or letter
        if own == name or (plotly.layout[f"{letter}axis{own[1:]}"].matches or own) == root:
            found += traces.values(trace, letter)
            if trace.type == "box" and getattr(trace, letter) is None:
                found.append(trace.name or "")
    return found


def _place(
    figure: Figure,
    plotly: Any,
    panels: Mapping[tuple[str, str], Panel],
    margin: dict[str, float],
    size: tuple[float, float],
) -> Area:
    """Put the plots where their domains say, in what the margins and their own labels leave; return that area."""
    wide, tall = size
    area = (0.0, 0.0, 1.0, 1.0)
    for _ in range(2):  # the second time with room for the labels that the first one has drawn
        left, bottom = margin["l"] / wide, margin["b"] / tall
        area = (left, bottom, 1 - left - margin["r"] / wide, 1 - bottom - margin["t"] / tall)
        for (x, y), (axes, *_) in panels.items():
            spans = [plotly.layout[f"{name[0]}axis{name[1:]}"].domain or (0, 1) for name in (x, y)]
            axes.set_position(
                (
                    area[0] + spans[0][0] * area[2],
                    area[1] + spans[1][0] * area[3],
                    (spans[0][1] - spans[0][0]) * area[2],
                    (spans[1][1] - spans[1][0]) * area[3],
                )
            )
        for axes, *_ in panels.values():
            box = axes.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
            if box is not None:
                margin["l"] = max(margin["l"], margin["l"] + ROOM_PX / 2 - box.x0)
                margin["b"] = max(margin["b"], margin["b"] + ROOM_PX / 2 - box.y0)
    return area
