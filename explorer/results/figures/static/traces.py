"""A trace of a Plotly figure → what is drawn of it on Matplotlib axes; `TRACES` says which types there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from explorer.results.figures.static import looks
from explorer.results.figures.static.looks import POINT, UnknownPart, each

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from explorer.results.figures.static.axes import Axis

STEPS = {"linear": None, None: None, "hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid"}
BAR_GAP = 0.2  # of the room between two bars, as Plotly's template leaves it


@dataclass
class Place:
    """Where a trace is drawn.

    Parameters
    ----------
    bars
        All bars of the same axes, in the figure's order.
    barmode
        ``"group"``, ``"stack"``, ``"relative"`` or ``"overlay"``.
    ends
        Position and sign → where the bars stacked there end.
    colour
        Of a trace that names none.
    """

    axes: Axes
    x: Axis
    y: Axis
    bars: Sequence[Any]
    barmode: str
    colour: str
    ends: dict[tuple[float, bool], float] = field(default_factory=dict)


def draw(trace: Any, place: Place, order: float) -> None:
    """Draw one trace, whose type `refuse_unknown` let pass; those of a higher `order` lie above.

    Raises
    ------
    UnknownPart
        If something in it is not drawn here.
    """
    TRACES[trace.type](trace, place, order)


def refuse_unknown(figure: Any) -> None:
    """Refuse a figure with a trace of a type that is not drawn here.

    Raises
    ------
    UnknownPart
        If it has one.
    """
    for trace in figure.data:
        if trace.type not in TRACES:
            raise UnknownPart(f"trace of type {trace.type}; add it to explorer.results.figures.static.traces.TRACES")


def lines_of(trace: Any) -> bool:
    """Tell whether a scatter has lines; Plotly draws markers, too, where no mode is given to a few points."""
    return "lines" in (trace.mode or "lines+markers")


def markers_of(trace: Any) -> bool:
    """Tell whether a scatter has markers; see `lines_of`."""
    return "markers" in (trace.mode or ("lines+markers" if len(values(trace, "x")) < 20 else "lines"))


def values(trace: Any, name: str) -> list[Any]:
    """Return a trace's values along an axis, NaN as None."""
    found = getattr(trace, name)
    return [] if found is None else [None if isinstance(v, float) and math.isnan(v) else v for v in found]


def line_colour(trace: Any, default: str) -> Any:
    """Return the colour of a scatter's line."""
    own = trace.marker.color
    return looks.colour(trace.line.color or (own if isinstance(own, str) else None) or default)


def _scatter(trace: Any, place: Place, order: float) -> None:
    if "text" in (trace.mode or "") or (trace.fill not in (None, "none", "tonexty", "tozeroy")):
        raise UnknownPart(f"scatter with mode {trace.mode} and fill {trace.fill}")
    x, y = place.x.at(values(trace, "x")), place.y.at(values(trace, "y"))
    alpha = trace.opacity
    if lines_of(trace):
        if trace.line.shape not in STEPS:
            raise UnknownPart(f"line of shape {trace.line.shape}")
        width = (2 if trace.line.width is None else trace.line.width) * POINT
        style: dict[str, Any] = {"color": line_colour(trace, place.colour), "linestyle": looks.dash(trace.line.dash)}
        step = STEPS[trace.line.shape]
        place.axes.plot(x, y, linewidth=width, zorder=order, alpha=alpha, drawstyle=step or "default", **style)
    if trace.fill == "tozeroy":
        place.axes.fill_between(x, y, color=looks.colour(trace.fillcolor), linewidth=0, zorder=order - 0.5)
    for letter in ("x", "y"):
        _errors(trace, getattr(trace, f"error_{letter}"), letter, (x, y), place, order)
    if markers_of(trace):
        _markers(trace, x, y, place, order)


def _errors(
    trace: Any, bars: Any, letter: str, at: tuple[list[float], list[float]], place: Place, order: float
) -> None:
    """Draw the error bars along one axis."""
    if bars.array is None or bars.visible is False:
        return
    above = each(bars.array, len(at[0]), 0.0)
    below = above if bars.arrayminus is None else each(bars.arrayminus, len(at[0]), 0.0)
    known = [index for index, spot in enumerate(zip(*at, strict=True)) if not any(map(math.isnan, spot))]
    ends: dict[str, Any] = {f"{letter}err": [[abs(side[index] or 0.0) for index in known] for side in (below, above)]}
    own = trace.marker.color
    ink = looks.colour(bars.color or (own if isinstance(own, str) else None) or place.colour)
    place.axes.errorbar(
        [at[0][index] for index in known],
        [at[1][index] for index in known],
        **ends,
        fmt="none",
        ecolor=ink,
        elinewidth=(2 if bars.thickness is None else bars.thickness) * POINT,
        capsize=(4 if bars.width is None else bars.width) * POINT,
        capthick=(2 if bars.thickness is None else bars.thickness) * POINT,
        alpha=trace.opacity,
        zorder=order,
    )


def _markers(trace: Any, x: list[float], y: list[float], place: Place, order: float) -> None:
    """Draw the markers, those of one symbol at a time."""
    marker, count = trace.marker, len(x)
    symbols, sizes = each(marker.symbol, count), each(marker.size, count, 6)
    colours = [looks.colour(ink) for ink in each(marker.color, count, place.colour)]
    edges = [looks.colour(ink) for ink in each(marker.line.color, count, "#444444")]
    widths = each(marker.line.width, count, 0)
    alpha = marker.opacity if isinstance(marker.opacity, int | float) else trace.opacity
    for name in dict.fromkeys(symbols):
        drawn = (index for index in range(count) if symbols[index] == name and (sizes[index] or 0) > 0)
        own = [index for index in drawn if not (math.isnan(x[index]) or math.isnan(y[index]))]
        shape, scale, is_open = looks.symbol(name)
        at = [x[index] for index in own], [y[index] for index in own]
        areas = [(sizes[index] * scale * POINT) ** 2 for index in own]
        if alpha is not None and alpha < 1 and not is_open:  # the bars do not shine through
            place.axes.scatter(*at, s=areas, marker=shape, color="white", linewidths=0, zorder=order + 0.25)
        place.axes.scatter(
            *at,
            s=areas,
            marker=shape,
            facecolors="none" if is_open else [colours[index] for index in own],
            edgecolors=[colours[index] if is_open or not widths[index] else edges[index] for index in own],
            linewidths=[max(widths[index], 1.0 if is_open else 0.0) * POINT for index in own],
            alpha=alpha,
            zorder=order + 0.5,
        )


def _bar(trace: Any, place: Place, order: float) -> None:
    """Draw bars: beside each other, or stacked upon each other."""
    level = trace.orientation == "h"
    along, across = (place.y, place.x) if level else (place.x, place.y)
    names, heights = (values(trace, "y"), values(trace, "x")) if level else (values(trace, "x"), values(trace, "y"))
    at, lengths = along.at(names), [0.0 if math.isnan(value) else value for value in across.at(heights)]
    grouped = place.barmode == "group" and len(place.bars) > 1
    room = (1 - BAR_GAP) / (len(place.bars) if grouped else 1)
    shift = (place.bars.index(trace) - (len(place.bars) - 1) / 2) * room if grouped else 0.0
    starts = [float(base or 0.0) for base in each(trace.base, len(at), 0.0)]
    if place.barmode in ("stack", "relative"):
        starts = [place.ends.get((spot, length < 0), 0.0) for spot, length in zip(at, lengths, strict=True)]
        for spot, start, length in zip(at, starts, lengths, strict=True):
            place.ends[spot, length < 0] = start + length
    widths = [float(width) for width in each(trace.width, len(at), room)]
    spots = [spot + shift for spot in at]
    inks = [looks.colour(ink) for ink in each(trace.marker.color, len(at), place.colour)]
    drawn: dict[str, Any] = {
        "color": inks,
        "zorder": order,
        "alpha": trace.opacity if trace.opacity is not None else 1.0,
    }
    edge: dict[str, Any] = {"edgecolor": looks.colour(trace.marker.line.color or "white"), "linewidth": 0.5 * POINT}
    if level:
        place.axes.barh(spots, lengths, height=widths, left=starts, **drawn, **edge)
    else:
        place.axes.bar(spots, lengths, width=widths, bottom=starts, **drawn, **edge)
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    for letter, where in (("x", (ends, spots)), ("y", (spots, ends))):
        _errors(trace, getattr(trace, f"error_{letter}"), letter, where, place, order + 0.5)
    for spot, end, text in zip(spots, ends, each(trace.text, len(at), ""), strict=True):
        _label(place.axes, (end, spot) if level else (spot, end), text, level)


def _label(axes: Axes, end: tuple[float, float], text: Any, level: bool) -> None:
    """Write a text at the end of a bar; nothing for an empty one."""
    if text:
        aligned = ("left", "center") if level else ("center", "bottom")
        size, (across, along) = 11 * POINT, aligned
        axes.annotate(f" {looks.plain(str(text))} ", end, fontsize=size, color=looks.TEXT, ha=across, va=along)


def _heatmap(trace: Any, place: Place, order: float) -> None:
    """Draw a matrix as colours, with the text of each cell."""
    import numpy as np
    from matplotlib import colors

    cells = np.array([[math.nan if value is None else float(value) for value in row] for row in trace.z])
    columns = place.x.at(values(trace, "x") or range(cells.shape[1]))
    rows = place.y.at(values(trace, "y") or range(cells.shape[0]))
    stops = [(stop, looks.colour(ink)) for stop, ink in trace.colorscale or ((0, "white"), (1, "#0072B2"))]
    palette = colors.LinearSegmentedColormap.from_list("own", stops)
    ends = {"vmin": trace.zmin, "vmax": trace.zmax}
    mesh = place.axes.pcolormesh(columns, rows, cells, cmap=palette, shading="nearest", zorder=order, **ends)
    for row, texts in zip(rows, trace.text if trace.text is not None else (), strict=False):
        for column, text in zip(columns, texts, strict=True):
            said = looks.plain(str(text))
            place.axes.text(column, row, said, ha="center", va="center", zorder=order + 1, fontsize=11 * POINT)
    if trace.showscale is not False and place.axes.figure:
        bar = place.axes.figure.colorbar(mesh, ax=place.axes, fraction=0.04, pad=0.02)
        bar.outline.set_visible(False)


def _box(trace: Any, place: Place, order: float) -> None:
    """Draw boxes: of all values, or of those at each name."""
    level = trace.orientation == "h" or (trace.y is None and trace.x is not None)
    along, across = (place.y, place.x) if level else (place.x, place.y)
    lengths = across.at(values(trace, "x" if level else "y"))
    names = values(trace, "y" if level else "x") or [trace.name or ""] * len(lengths)
    groups: dict[float, list[float]] = {}
    for spot, length in zip(along.at(names), lengths, strict=True):
        groups.setdefault(spot, []).append(length)
    ink = looks.colour(trace.line.color or trace.marker.color or place.colour)
    line = {"color": ink, "linewidth": 1.5 * POINT}
    place.axes.boxplot(
        list(groups.values()),
        positions=list(groups),
        orientation="horizontal" if level else "vertical",
        widths=0.5,
        manage_ticks=False,
        zorder=order,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops=line,
        flierprops={"marker": ".", "markeredgecolor": ink},
    )


TRACES: Mapping[str, Callable[[Any, Place, float], None]] = {
    "scatter": _scatter,
    "scattergl": _scatter,
    "bar": _bar,
    "heatmap": _heatmap,
    "box": _box,
}
