"""Finished trials → colours, shapes, legend, heading and axes of the page with their fronts."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from explorer.core.measurement.metric import Metric
from explorer.fronts.knee import knees
from explorer.fronts.pareto import violations
from explorer.space.limits import Limit

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# Okabe and Ito's palette (Color Universal Design, 2008), told apart with every kind of colour vision, and three more
# for studies of many compressions, which lie further from all others than its own nearest two do.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8800FF", "#99BB66", "#884422",
)  # fmt: skip
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
ON_FRONT, DOMINATED, BEYOND = "on the front", "dominated", "beyond a limit"  # where a stack stands
TIED = "cannot be told apart from the front"


class Look(NamedTuple):
    """How the points of stacks that stand alike are drawn; sizes in pixels."""

    opacity: float
    size: int
    outline: str
    outline_width: float


FAINT = Look(0.28, 9, "white", 0.5)
LOOKS: Mapping[str, Look] = {  # the last lie on top
    BEYOND: FAINT,
    DOMINATED: FAINT,
    TIED: Look(1.0, 11, "#222", 0.75),
    ON_FRONT: Look(1.0, 13, "#222", 1.75),
}
LATENCY_TITLE = "Latency per inference (ms), median"
LOG_FROM = 12  # slowest over fastest latency from which a linear axis would crowd the fast stacks
ROW_PX = 470
BUDGET = {"color": "#555", "width": 1.5, "dash": "dash"}
KNEE = {"symbol": "circle-open", "size": 24, "color": "#444", "line": {"width": 1.5}}
AXIS = {"showline": True, "linecolor": "#999", "ticks": "outside", "showticklabels": True}


def styles(measured: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the look of every choice: a colour for each compression, a shape for each algorithm."""
    compressions = list(dict.fromkeys(sorted(measured["compression"], key=lambda name: (name != "none", name))))
    algorithms = sorted(measured["algorithm"].unique())
    return {
        "compression": {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(compressions)},
        "algorithm": {name: SYMBOLS[index % len(SYMBOLS)] for index, name in enumerate(algorithms)},
    }


def add_legend(figure: go.Figure, measured: pd.DataFrame, budget_ms: float | None) -> None:
    """Explain colours, shapes and lines by entries of their own: those of the points would repeat per device."""
    if measured.empty:
        return
    add_choices(figure, styles(measured))
    _add_entry(figure, "Pareto front", "lines", "Lines", mode="lines", line={"color": "#444", "width": 2})
    if knees(measured[measured["standing"] == ON_FRONT]):
        _add_entry(figure, "its knee", "lines", "Lines", mode="markers", marker={**KNEE, "size": 14})
    if budget_ms is not None:
        _add_entry(figure, f"budget, {budget_ms:g} ms", "lines", "Lines", mode="lines", line=BUDGET)


def knee(rows: pd.DataFrame) -> go.Scatter:
    """Return a ring around the knee of a front; `rows` has its trial, or none where the front has none."""
    import plotly.graph_objects as go

    latency, reached = rows["latency_ms"], rows[Metric.of_frame(rows).name]
    return go.Scatter(x=latency, y=reached, mode="markers", marker=KNEE, hoverinfo="skip", showlegend=False)


def add_choices(figure: go.Figure, looks: Mapping[str, Mapping[str, str]]) -> None:
    """Explain the colours and shapes that `styles` gives to choices."""
    for name, colour in looks["compression"].items():
        marker = {"color": colour, "size": 12}
        _add_entry(figure, name, "compression", "Compression", mode="markers", marker=marker)
    for name, symbol in looks["algorithm"].items():
        marker = {"color": "#777", "symbol": symbol, "size": 11}
        _add_entry(figure, name, "algorithm", "Algorithm", mode="markers", marker=marker)


def _add_entry(figure: go.Figure, name: str, group: str, title: str, **look: object) -> None:
    import plotly.graph_objects as go

    titled = {"legendgroup": group, "legendgrouptitle": {"text": title}}
    figure.add_trace(go.Scatter(x=[None], y=[None], name=html.escape(name), **titled, **look))


def heading(
    frame: pd.DataFrame, measured: pd.DataFrame, title: str, limits: Sequence[Limit], with_ties: bool = False
) -> str:
    """Return title and explanation as the HTML that Plotly shows above the fronts, `with_ties` where there are any."""
    failed = int((frame["state"] == "failed").sum()) if len(frame) else 0
    said = f"{len(measured)} stacks measured" + (f", {failed} failed" if failed else "")
    faint = DOMINATED
    if limits and len(measured):
        kept = int((violations(measured, limits) == 0).sum())
        said += html.escape(f", {kept} within the limits {', '.join(map(str, limits))}")
        faint += f" or {BEYOND}"
    tied = f"thinly outlined: {TIED}; " if with_ties else ""
    explained = f"outlined: {ON_FRONT}; {tied}faint: {faint}; bars: 95 % interval of the median"
    small = f'<span style="font-size:13px;color:#555">{said} · {explained}</span>'
    metric = Metric.of_frame(frame)
    return f"<b>{html.escape(title)}: {metric.name} against latency</b><br>{small}"


def dress(figure: go.Figure, measured: pd.DataFrame, heading: str, rows: int) -> None:
    """Set the heading, the axes and the sizes of a figure with `rows` rows of devices."""
    set_layout(figure, heading, rows)
    if measured.empty:
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
        figure.add_annotation(text="no trial is complete yet", showarrow=False, font={"size": 18, "color": "#777"})
        return
    figure.update_xaxes(title_text=LATENCY_TITLE, **AXIS, **scale(measured["latency_ms"]))
    metric = Metric.of_frame(measured)
    figure.update_yaxes(tickformat=".1%" if metric.is_accuracy else None, **AXIS)
    figure.update_yaxes(title_text=f"Validation {metric.name}", col=1)


def set_layout(figure: go.Figure, heading: str, rows: int = 1) -> None:
    """Set all of the layout that figures of a page have in common: heading, sizes, fonts and legend."""
    figure.update_layout(
        title={"text": heading, "x": 0.01, "xanchor": "left", "yref": "container", "y": 1 - 0.055 / rows},
        template="plotly_white",
        height=ROW_PX * rows + 150,
        margin={"l": 75, "r": 30, "t": 105, "b": 70},
        legend={"itemclick": False, "itemdoubleclick": False, "font": {"size": 13}, "tracegroupgap": 14},
        font={"family": "Inter, Helvetica, Arial, sans-serif", "size": 14, "color": "#222"},
        hovermode="closest",
    )


def scale(latency_ms: pd.Series[float]) -> dict[str, object]:
    """Return a linear axis from 0, or a logarithmic one where latencies differ widely."""
    if latency_ms.max() <= LOG_FROM * latency_ms.min():
        return {"type": "linear", "rangemode": "tozero"}
    return logarithmic(latency_ms)


def logarithmic(latency_ms: pd.Series[float]) -> dict[str, object]:
    """Return a logarithmic axis with ticks at 1, 2 and 5 of every decade."""
    fastest, slowest = float(latency_ms.min()), float(latency_ms.max())
    decades = range(math.floor(math.log10(fastest)) - 1, math.ceil(math.log10(slowest)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
