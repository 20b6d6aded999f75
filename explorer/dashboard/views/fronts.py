"""A snapshot and a device → accuracy over latency: the front, its ties, and all other stacks, drawn in one pass."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.core.measurement.metric import Metric
from explorer.dashboard.brush import Brush, inside
from explorer.dashboard.state import Snapshot
from explorer.dashboard.theme import Theme
from explorer.results.answers.best_stack import stack_of
from explorer.results.figures import layout
from explorer.results.figures.fronts import hover
from explorer.results.figures.layout import LOOKS, ON_FRONT, TIED

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

MOST_SVG = 1500  # points that a page draws as shapes of its own; more are drawn by WebGL, all at once
MANY = 3000  # points that are drawn smaller and fainter than fewer
FEW = "trial %{customdata}<br>%{x:.3f} ms<br>%{y:.2%}<extra></extra>"  # over a point whose stack a click opens
SYMBOLS: Mapping[str, int] = {  # plotly.js numbers its symbols; numbers travel as one array
    "circle": 0, "square": 1, "diamond": 2, "triangle-up": 5, "cross": 3, "star": 17, "hexagon": 14
}  # fmt: skip


def figure(snapshot: Snapshot, device: str | None, brush: Brush, budget_ms: float | None, theme: Theme) -> go.Figure:
    """Return the fronts of one device; stacks outside of the brush are grey.

    Only stacks on the front or tied with it have a text of their own: of the many others a click opens all there is.
    """
    import plotly.graph_objects as go

    rows = snapshot.on(device)
    drawn = go.Figure(layout={**theme.layout(), "margin": {"l": 8, "r": 8, "t": 28, "b": 8}})
    drawn.update_layout(showlegend=False, uirevision=f"{snapshot.name} {device}", dragmode="select")
    drawn.update_layout(selections=[], selectionrevision=repr(brush))
    if rows.empty:
        return _nothing(drawn, theme)
    kept = inside(rows, brush)
    near = rows["standing"].isin([ON_FRONT, TIED])
    faint = rows[kept & ~near]
    _add_many(drawn, rows[~kept], "outside of the brush", {"color": theme.aside}, 0.2)
    _add_many(
        drawn, faint, "dominated", _looks(faint, snapshot, theme), theme.faint * (1.0 if len(faint) < MANY else 0.7)
    )
    _add_line(drawn, rows[rows["standing"] == ON_FRONT], theme)
    for standing in (TIED, ON_FRONT):
        for compression, group in rows[kept & (rows["standing"] == standing)].groupby("compression"):
            _add_near(drawn, group, snapshot, str(compression), standing, theme)
    drawn.update_layout(shapes=budget_shapes(budget_ms, theme))
    drawn.update_xaxes(title_text=layout.LATENCY_TITLE, **theme.axis(), **layout.scale(rows["latency_ms"]))
    metric = Metric.of_frame(rows)
    ticks = ".1%" if metric.is_accuracy else None
    drawn.update_yaxes(title_text=f"Validation {metric.name}", tickformat=ticks, **theme.axis())
    return drawn


def budget_shapes(budget_ms: float | None, theme: Theme) -> list[dict[str, Any]]:
    """Return the vertical line at the budget, as a figure's layout has it."""
    if budget_ms is None:
        return []
    line = {"color": theme.text, "width": 1.5, "dash": "dash"}
    return [{"type": "line", "x0": budget_ms, "x1": budget_ms, "y0": 0, "y1": 1, "yref": "paper", "line": line}]


def _nothing(drawn: go.Figure, theme: Theme) -> go.Figure:
    drawn.update_xaxes(visible=False)
    drawn.update_yaxes(visible=False)
    text = "no trial is complete yet"
    drawn.add_annotation(text=text, showarrow=False, font={"size": 16, "color": theme.muted})
    return drawn


def _add_many(drawn: go.Figure, rows: pd.DataFrame, name: str, marker: Mapping[str, Any], opacity: float) -> None:
    """Draw stacks that are neither on the front nor tied with it as one trace, in the order of their numbers."""
    import plotly.graph_objects as go

    if rows.empty:
        return
    scatter = go.Scattergl if len(rows) > MOST_SVG else go.Scatter
    drawn.add_trace(
        scatter(
            x=rows["latency_ms"].to_numpy(dtype="float32"),
            y=rows[Metric.of_frame(rows).name].to_numpy(dtype="float32"),
            customdata=rows["number"].to_numpy(dtype="int32"),
            mode="markers",
            marker={"size": 7 if len(rows) < MANY else 5, **marker},
            opacity=opacity,
            hovertemplate=FEW,
            name=name,
        )
    )


def _looks(rows: pd.DataFrame, snapshot: Snapshot, theme: Theme) -> dict[str, Any]:
    """Return colour and shape of every stack as numbers, which travel as two arrays."""
    shapes = {name: SYMBOLS[symbol] for name, symbol in snapshot.styles["algorithm"].items()}
    colours = [theme.colour(colour) for colour in snapshot.styles["compression"].values()]
    place = {name: index for index, name in enumerate(snapshot.styles["compression"])}
    steps = [[(index + end) / len(colours), colour] for index, colour in enumerate(colours) for end in (0, 1)]
    return {
        "color": rows["compression"].map(place).to_numpy(dtype="int32"),
        "colorscale": steps,
        "cmin": -0.5,
        "cmax": len(colours) - 0.5,
        "symbol": _packed(rows["algorithm"].map(shapes).to_numpy(dtype="int32")),
    }


def _packed(numbers: NDArray[Any]) -> dict[str, str]:
    """Return an array as plotly.js takes it; plotly.py, given the array, would look up each symbol in a list."""
    return {"dtype": f"{numbers.dtype.kind}{numbers.dtype.itemsize}", "bdata": b64encode(numbers.tobytes()).decode()}


def _add_line(drawn: go.Figure, front: pd.DataFrame, theme: Theme) -> None:
    import plotly.graph_objects as go

    metric = Metric.of_frame(front)
    ordered = front.sort_values(["latency_ms", metric.name], ascending=[True, metric.maximised])
    line = {"color": theme.front, "width": 2, "shape": "hv"}
    drawn.add_trace(
        go.Scatter(x=ordered["latency_ms"], y=ordered[metric.name], mode="lines", line=line, hoverinfo="skip")
    )


def _add_near(
    drawn: go.Figure, rows: pd.DataFrame, snapshot: Snapshot, compression: str, standing: str, theme: Theme
) -> None:
    """Draw stacks on the front, or tied with it, with their intervals and with all there is under the pointer."""
    import plotly.graph_objects as go

    colour, look = theme.colour(snapshot.styles["compression"][compression]), LOOKS[standing]
    stacks = [stack_of(row) for _, row in rows.iterrows()]
    drawn.add_trace(
        go.Scatter(
            x=[stack.latency_ms for stack in stacks],
            y=[stack.accuracy for stack in stacks],
            error_x={
                "type": "data",
                "array": [stack.latency.high - stack.latency_ms for stack in stacks],
                "arrayminus": [stack.latency_ms - stack.latency.low for stack in stacks],
                "color": colour,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=[stack.number for stack in stacks],
            mode="markers",
            marker={
                "color": colour,
                "symbol": [snapshot.styles["algorithm"][str(stack.choices["algorithm"])] for stack in stacks],
                "size": look.size,
                "line": {"color": theme.text, "width": look.outline_width},
            },
            text=[hover(*each, standing) for each in zip(stacks, rows["front_probability"], strict=True)],
            hoverinfo="text",
            name=compression,
        )
    )
