"""Finished trials → the accuracy/latency fronts of every device as one interactive page that works offline."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.results import readable
from explorer.results.pareto import on_front, violations
from explorer.results.report import Stack, stack_of
from explorer.space.limits import Limit
from explorer.space.space_file import Direction

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# Okabe and Ito's palette (Color Universal Design, 2008): told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
FRONT: Mapping[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
ON_FRONT, DOMINATED, BEYOND = "on the front", "dominated", "beyond a limit"  # where a stack stands
FAINT = 0.28
LOG_FROM = 12  # slowest over fastest latency from which a linear axis would crowd the fast stacks
ROW_PX, GAP_PX = 470, 115


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
        vertical_spacing=GAP_PX / (ROW_PX * rows),
    )
    for index, device in enumerate(devices):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        _draw_device(figure, measured[measured["device"] == device], limits, _styles(measured), place)
        if budget_ms is not None:
            figure.add_vline(budget_ms, line={"color": "#555", "width": 1.5, "dash": "dash"}, **place)
    _legend(figure, measured, budget_ms)
    _dress(figure, measured, _heading(frame, measured, title, limits), rows)
    return figure


def write(figure: go.Figure, path: Path) -> None:
    """Write `figure` as one page that holds everything that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs=True, full_html=True, config={"displaylogo": False, "responsive": True})


def _styles(measured: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the look of every choice: a colour for each compression, a shape for each algorithm."""
    compressions = list(dict.fromkeys(sorted(measured["compression"], key=lambda name: (name != "none", name))))
    algorithms = sorted(measured["algorithm"].unique())
    return {
        "compression": {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(compressions)},
        "algorithm": {name: SYMBOLS[index % len(SYMBOLS)] for index, name in enumerate(algorithms)},
    }


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


def _legend(figure: go.Figure, measured: pd.DataFrame, budget_ms: float | None) -> None:
    """Explain colours, shapes and lines by entries of their own: those of the points would repeat per device."""
    import plotly.graph_objects as go

    if measured.empty:
        return
    styles = _styles(measured)

    def entry(name: str, group: str, title: str, **look: object) -> None:
        figure.add_trace(
            go.Scatter(
                x=[None], y=[None], name=html.escape(name), legendgroup=group, legendgrouptitle={"text": title}, **look
            )
        )

    for name, colour in styles["compression"].items():
        entry(name, "compression", "Compression", mode="markers", marker={"color": colour, "size": 12})
    for name, symbol in styles["algorithm"].items():
        marker = {"color": "#777", "symbol": symbol, "size": 11}
        entry(name, "algorithm", "Algorithm", mode="markers", marker=marker)
    entry("Pareto front", "lines", "Lines", mode="lines", line={"color": "#444", "width": 2})
    if budget_ms is not None:
        line = {"color": "#555", "width": 1.5, "dash": "dash"}
        entry(f"budget, {budget_ms:g} ms", "lines", "Lines", mode="lines", line=line)


def _heading(frame: pd.DataFrame, measured: pd.DataFrame, title: str, limits: Sequence[Limit]) -> str:
    failed = int((frame["state"] == "failed").sum()) if len(frame) else 0
    said = f"{len(measured)} stacks measured" + (f", {failed} failed" if failed else "")
    faint = DOMINATED
    if limits and len(measured):
        kept = int((violations(measured, limits) == 0).sum())
        said += html.escape(f", {kept} within the limits {', '.join(map(str, limits))}")
        faint += f" or {BEYOND}"
    explained = f"outlined: on the front; faint: {faint}; bars: 95 % interval of the median"
    small = f'<span style="font-size:13px;color:#555">{said} · {explained}</span>'
    return f"<b>{html.escape(title)}: accuracy against latency</b><br>{small}"


def _dress(figure: go.Figure, measured: pd.DataFrame, heading: str, rows: int) -> None:
    figure.update_layout(
        title={"text": heading, "x": 0.01, "xanchor": "left", "yref": "container", "y": 1 - 0.055 / rows},
        template="plotly_white",
        height=ROW_PX * rows + 150,
        margin={"l": 75, "r": 30, "t": 105, "b": 70},
        legend={"itemclick": False, "itemdoubleclick": False, "font": {"size": 13}, "tracegroupgap": 14},
        font={"family": "Inter, Helvetica, Arial, sans-serif", "size": 14, "color": "#222"},
        hovermode="closest",
    )
    if measured.empty:
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
        figure.add_annotation(text="no trial is complete yet", showarrow=False, font={"size": 18, "color": "#777"})
        return
    axis = {"showline": True, "linecolor": "#999", "ticks": "outside", "showticklabels": True}
    figure.update_xaxes(title_text="Latency per inference (ms), median", **axis, **_scale(measured["latency_ms"]))
    figure.update_yaxes(tickformat=".1%", **axis)
    figure.update_yaxes(title_text="Validation accuracy", col=1)


def _scale(latency_ms: pd.Series[float]) -> dict[str, object]:
    """Return a linear axis from 0, or a logarithmic one with ticks at 1, 2 and 5 where latencies differ widely."""
    fastest, slowest = float(latency_ms.min()), float(latency_ms.max())
    if slowest <= LOG_FROM * fastest:
        return {"type": "linear", "rangemode": "tozero"}
    decades = range(math.floor(math.log10(fastest)) - 1, math.ceil(math.log10(slowest)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
