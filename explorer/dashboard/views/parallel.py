"""A snapshot and a device → parallel coordinates of its stacks, and rectangles over their axes → parts of the brush.

Plotly's own parallel coordinates draw every line by WebGL: without a graphics processor 10,000 of them take many
seconds. Lines between two axes that end at the same places are drawn once here, in the colour of the most accurate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from explorer.core.measurement.metric import Metric
from explorer.dashboard.brush import GAP, Axis, Brush, Part, axes, inside, text
from explorer.dashboard.state import Snapshot
from explorer.dashboard.theme import Theme
from explorer.results import readable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    Places = NDArray[np.float64]  # of stacks on axes, from 0 to 1; shape (stacks, axes)

LOGARITHMIC = ("latency_ms", "size_bytes", "peak_memory_bytes")
TITLES = {"latency_ms": "latency (ms)", "size_bytes": "size", "peak_memory_bytes": "peak memory"}
TICKS = 5
SHADES = 5  # of lines, by accuracy, an equal share of the stacks each
EXACT = 300  # stacks whose lines end where they do; those of more end at the nearest of `STEPS` places
STEPS = 50
GAP_AT = -0.12  # where the axis of a number has stacks that have none
LETTER = 0.1  # of the distance between two axes: the width of a letter of the first one's choices, at most
HALF = 0.04  # of the height that a brush around one choice has


def figure(snapshot: Snapshot, device: str | None, brush: Brush, theme: Theme) -> go.Figure:
    """Return a line for each complete trial, from axis to axis, darker the more accurate; grey outside of the brush."""
    import plotly.graph_objects as go

    rows = snapshot.on(device)
    found = axes(rows)
    drawn = go.Figure(layout={**theme.layout(), "margin": {"l": 8, "r": 8, "t": 40, "b": 8}})
    drawn.update_layout(showlegend=False, dragmode="select", selections=[], selectionrevision=repr(brush))
    if not found:
        drawn.update_xaxes(visible=False)
        drawn.update_yaxes(visible=False)
        return drawn
    places, kept = _places(rows, found), inside(rows, brush).to_numpy()
    drawn.add_trace(_lines(*_ends(places[~kept]), theme.aside, 0.12))
    shades = _shades(rows)
    for shade in range(SHADES):
        drawn.add_trace(_lines(*_ends(places[kept], shades[kept], shade), theme.shade(shade / (SHADES - 1)), 0.55))
    drawn.update_layout(annotations=_ticks(found, rows, theme), shapes=_marks(found, brush, theme))
    names = [TITLES.get(axis.name, axis.name.replace("_", " ")) for axis in found]
    room = 0.3 + LETTER * max(map(len, found[0].choices or [""]))
    drawn.update_xaxes(
        tickvals=list(range(len(found))), ticktext=names, side="top", range=[-room, len(found) - 0.75],
        ticklabeloverflow="allow", gridcolor=theme.muted, gridwidth=1, zeroline=False, showline=False,
        fixedrange=True, tickangle=-14,
    )  # fmt: skip
    drawn.update_yaxes(visible=False, range=[-0.18, 1.06], fixedrange=True)
    return drawn


def selected(found: Sequence[Axis], moved: Any) -> dict[str, Part]:
    """Return the parts of the brush that a rectangle over axes stands for; nothing for another gesture."""
    rectangles = moved.get("selections") if isinstance(moved, Mapping) else None
    if not rectangles or rectangles[-1].get("type") != "rect":
        return {}
    (left, right), (low, high) = (sorted(float(rectangles[-1][f"{axis}{end}"]) for end in (0, 1)) for axis in "xy")
    over = [axis for index, axis in enumerate(found) if left <= index <= right]
    if not over:  # the nearest, of a rectangle between two
        over = [found[max(0, min(len(found) - 1, round((left + right) / 2)))]]
    return {axis.name: _part(axis, low, high) for axis in over}


def _part(axis: Axis, low: float, high: float) -> Part:
    """Return the part of the brush between two places on an axis."""
    if axis.choices:
        return {"choices": [c for index, c in enumerate(axis.choices) if low <= _choice_at(axis, index) <= high]}
    ends = {"least": low, "most": high}
    return {end: _value(axis, place) for end, place in ends.items() if 0 < place < 1}  # type: ignore[return-value]


def _choice_at(axis: Axis, index: int) -> float:
    """Return the place of a choice on its axis."""
    return (index + 0.5) / len(axis.choices)


def _at(axis: Axis, value: float) -> float:
    """Return the place of a number on its axis."""
    scale = math.log if axis.name in LOGARITHMIC and axis.least > 0 else float
    low, high = scale(axis.least), scale(axis.most)
    return (scale(value) - low) / (high - low) if high > low else 0.5


def _value(axis: Axis, place: float) -> float:
    """Return the number at a place of its axis, as `_at` has it."""
    if axis.name in LOGARITHMIC and axis.least > 0:
        return float(axis.least * (axis.most / axis.least) ** place)
    return float(axis.least + place * (axis.most - axis.least))


def _places(rows: pd.DataFrame, found: Sequence[Axis]) -> Places:
    """Return the place of every stack on every axis."""
    import numpy as np

    columns = []
    for axis in found:
        values = rows[axis.name]
        if axis.choices:
            known = {choice: _choice_at(axis, index) for index, choice in enumerate(axis.choices)}
            columns.append(values.map({value: known[text(value)] for value in values.unique()}).to_numpy(dtype=float))
        else:
            numbers = values.to_numpy(dtype=float, na_value=np.nan)
            scale = np.log if axis.name in LOGARITHMIC and axis.least > 0 else np.asarray
            low, high = (float(scale(np.array(end))) for end in (axis.least, axis.most))
            placed = (scale(numbers) - low) / ((high - low) or 1.0)
            columns.append(np.where(np.isnan(placed), GAP_AT, placed))
    places = np.stack(columns, axis=1)
    return places if len(rows) <= EXACT else np.round(places * STEPS) / STEPS


def _shades(rows: pd.DataFrame) -> NDArray[np.intp]:
    """Return the shade of every stack, from 0 for the least accurate to `SHADES` - 1."""
    import numpy as np

    metric = Metric.of_frame(rows)
    ranks = (metric.sign * rows[metric.name]).rank(method="first").to_numpy()
    return np.minimum((ranks - 1) * SHADES // max(1, len(rows)), SHADES - 1).astype(np.intp)


def _ends(places: Places, shades: NDArray[np.intp] | None = None, shade: int = 0) -> tuple[Places, Places]:
    """Return the lines between neighbouring axes as x and y with gaps between them, each line once.

    With `shades`, only the lines whose most accurate stack has that `shade`.
    """
    import numpy as np

    across, along = [], []
    for index in range(places.shape[1] - 1):
        # One complex number a line, which sorts ten times as fast as a row of two.
        lines, line = np.unique(places[:, index] + 1j * places[:, index + 1], return_inverse=True)
        if shades is not None:
            best = np.full(len(lines), -1)
            np.maximum.at(best, line, shades)
            lines = lines[best == shade]
        across.append(np.tile([index, index + 1, np.nan], len(lines)))
        along.append(np.column_stack([lines.real, lines.imag, np.full(len(lines), np.nan)]).ravel())
    return np.concatenate(across), np.concatenate(along)


def _lines(x: Places, y: Places, colour: str, opacity: float) -> go.Scatter:
    import plotly.graph_objects as go

    line = {"color": colour, "width": 1, "simplify": False}
    return go.Scatter(x=x, y=y, mode="lines", line=line, opacity=opacity, hoverinfo="skip")


def _ticks(found: Sequence[Axis], rows: pd.DataFrame, theme: Theme) -> list[dict[str, Any]]:
    """Return the text of choices and numbers, left of their places."""
    look = {"showarrow": False, "xanchor": "right", "xshift": -4, "font": {"size": 11, "color": theme.text}}
    look |= {"bgcolor": theme.surface, "opacity": 0.85, "borderpad": 1}
    ticks = []
    for index, axis in enumerate(found):
        if axis.choices:
            own = [(_choice_at(axis, place), choice) for place, choice in enumerate(axis.choices)]
        else:
            steps = [step / (TICKS - 1) for step in range(TICKS)]
            own = [(place, _number(axis, _value(axis, place))) for place in steps]
            own += [(GAP_AT, GAP)] if rows[axis.name].isna().any() else []
        ticks += [{**look, "x": index, "y": place, "text": name} for place, name in own]
    return ticks


def _marks(found: Sequence[Axis], brush: Brush, theme: Theme) -> list[dict[str, Any]]:
    """Return the brush as rectangles on the axes."""
    look = {"type": "rect", "line": {"color": theme.text, "width": 1}, "fillcolor": theme.aside, "opacity": 0.55}
    return [
        {**look, "x0": index - 0.05, "x1": index + 0.05, "y0": low, "y1": high}
        for index, axis in enumerate(found)
        if axis.name in brush
        for low, high in spans(axis, brush[axis.name])
    ]


def spans(axis: Axis, part: Part) -> list[tuple[float, float]]:
    """Return the places on an axis that a part of the brush reaches from and to."""
    if axis.choices:
        chosen = [_choice_at(axis, index) for index, choice in enumerate(axis.choices) if choice in part["choices"]]
        return [(place - HALF, place + HALF) for place in chosen]
    low = 0.0 if (least := part.get("least")) is None else _at(axis, max(least, axis.least))
    high = 1.0 if (most := part.get("most")) is None else _at(axis, min(most, axis.most))
    return [(low, high)]


def _number(axis: Axis, value: float) -> str:
    if axis.name == "accuracy":
        return f"{value:.1%}"
    return readable.size(int(value)) if axis.name.endswith("_bytes") else f"{value:.3g}"
