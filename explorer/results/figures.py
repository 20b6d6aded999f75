"""Finished trials → the accuracy/latency fronts of every device as one interactive page that works offline."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.results import figure_layout, readable
from explorer.results.figure_layout import BEYOND, DOMINATED, ON_FRONT
from explorer.results.pareto import on_front, violations
from explorer.results.report import Stack, stack_of
from explorer.space.limits import Limit
from explorer.space.space_file import Direction

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

FRONT: Mapping[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
FAINT = 0.28
GAP_PX = 115


def fronts(frame: pd.DataFrame, title: str, budget_ms: float | None = None, limits: Sequence[Limit] = ()) -> go.Figure:
    """Return accuracy over latency for every device: the front as a line, dominated stacks faint.

    Parameters
    ----------
    frame
        One row per trial; failed ones are counted in the title.
    budget_ms
        Latency at which to draw a vertical line.
    limits
        Stacks on the front keep all of them; other stacks are faint, too.
    """
    from plotly.subplots import make_subplots

    measured = frame[frame["state"] == "complete"] if len(frame) else frame
    devices = sorted(measured["device"].unique()) if len(measured) else []
    columns = min(2, max(1, len(devices)))
    rows = max(1, math.ceil(len(devices) / columns))
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[html.escape(device) for device in devices] if len(devices) > 1 else None,
        shared_xaxes="all",  # one scale, so that devices compare at a glance
        shared_yaxes="all",
        horizontal_spacing=0.06,
        vertical_spacing=GAP_PX / (figure_layout.ROW_PX * rows),
    )
    for index, device in enumerate(devices):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        _draw_device(figure, measured[measured["device"] == device], limits, figure_layout.styles(measured), place)
        if budget_ms is not None:
            figure.add_vline(budget_ms, line={"color": "#555", "width": 1.5, "dash": "dash"}, **place)
    figure_layout.add_legend(figure, measured, budget_ms)
    figure_layout.dress(figure, measured, figure_layout.heading(frame, measured, title, limits), rows)
    return figure


def write(figure: go.Figure, path: Path) -> None:
    """Write `figure` as one page that holds everything that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs=True, full_html=True, config={"displaylogo": False, "responsive": True})


def _draw_device(
    figure: go.Figure,
    rows: pd.DataFrame,
    limits: Sequence[Limit],
    styles: Mapping[str, Mapping[str, str]],
    place: Mapping[str, int],
) -> None:
    import plotly.graph_objects as go

    best, beyond = on_front(rows, FRONT, limits), violations(rows, limits) > 0
    front = rows[best].sort_values(["latency_ms", "accuracy"])
    line = {"color": "#444", "width": 2, "shape": "hv"}
    figure.add_trace(
        go.Scatter(
            x=front["latency_ms"], y=front["accuracy"], mode="lines", line=line, hoverinfo="skip", showlegend=False
        ),
        **place,
    )
    for standing, part in ((BEYOND, rows[beyond]), (DOMINATED, rows[~best & ~beyond]), (ON_FRONT, front)):
        for compression, group in part.groupby("compression"):
            figure.add_trace(_points(group, styles, str(compression), standing), **place)


def _points(rows: pd.DataFrame, styles: Mapping[str, Mapping[str, str]], compression: str, standing: str) -> go.Scatter:
    import plotly.graph_objects as go

    colour, is_front = styles["compression"][compression], standing == ON_FRONT
    stacks = [stack_of(row) for _, row in rows.iterrows()]
    return go.Scatter(
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
        mode="markers",
        marker={
            "color": colour,
            "symbol": [styles["algorithm"][str(stack.choices["algorithm"])] for stack in stacks],
            "size": 13 if is_front else 9,
            "line": {"color": "#222" if is_front else "white", "width": 1.5 if is_front else 0.5},
        },
        opacity=1.0 if is_front else FAINT,
        text=[_hover(stack, standing) for stack in stacks],
        hoverinfo="text",
        hoverlabel={"bgcolor": "white", "bordercolor": colour, "align": "left", "font": {"size": 12}},
        legendgroup=compression,
        showlegend=False,
    )


def _hover(stack: Stack, standing: str) -> str:
    """Return the whole stack, layer by layer, as the HTML that Plotly shows over a point."""
    test = "" if stack.test_accuracy is None else f", test {stack.test_accuracy:.2%}"
    lines = [
        f"<b>trial {stack.number}</b>, {standing}",
        f"<b>{stack.latency_ms:.3f} ms</b>  95 % interval {stack.latency.low:.3f} to {stack.latency.high:.3f} ms",
        f"<b>{stack.accuracy:.2%}</b> validation accuracy{test}",
        f"<b>{readable.size(stack.size_bytes)}</b> compiled size",
        "",
    ]
    for layer, choices in stack.layers.items():
        text = ", ".join(f"{axis} {choice}" for axis, choice in choices.items() if choice is not None)
        lines.append(f"<i>{html.escape(layer)}</i><br>   {html.escape(text)}")
    return "<br>".join(lines)
