"""Finished trials → the accuracy/latency fronts of every device as one interactive page that works offline."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from explorer.core.measurement.metric import Metric
from explorer.fronts import certainty
from explorer.fronts.knee import axes, knees
from explorer.fronts.pareto import on_front, violations
from explorer.results import readable
from explorer.results.answers.best_stack import Stack, stack_of
from explorer.results.emulated import emulated_devices
from explorer.results.figures import layout
from explorer.results.figures.layout import BEYOND, DOMINATED, LOOKS, ON_FRONT, TIED
from explorer.space.limits import Limit

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from explorer.results.figures.kinds import Options, Study

GAP_PX = 115


def draw(study: Study, options: Options) -> go.Figure | None:
    """Return `fronts` of an opened study; None where no trial is complete."""
    frame = study.on(options.device)
    if not (frame["state"] == "complete").any():
        return None
    return fronts(frame, study.name, options.latency_ms, study.limits)


def fronts(frame: pd.DataFrame, title: str, budget_ms: float | None = None, limits: Sequence[Limit] = ()) -> go.Figure:
    """Return accuracy over latency for every device: the front as a line, ties marked, dominated stacks faint.

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

    measured = with_standing(frame[frame["state"] == "complete"], limits) if len(frame) else frame
    devices = sorted(measured["device"].unique()) if len(measured) else []
    marked = emulated_devices(measured)
    titles = [html.escape(readable.device(device, device in marked)) for device in devices]
    columns = min(2, max(1, len(devices)))
    rows = max(1, math.ceil(len(devices) / columns))
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=titles if len(devices) > 1 or marked else None,
        shared_xaxes="all",  # one scale, so that devices compare at a glance
        shared_yaxes="all",
        horizontal_spacing=0.06,
        vertical_spacing=GAP_PX / (layout.ROW_PX * rows),
    )
    for index, device in enumerate(devices):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        _draw_device(figure, measured[measured["device"] == device], layout.styles(measured), place)
        if budget_ms is not None:
            figure.add_vline(budget_ms, line=layout.BUDGET, **place)
    layout.add_legend(figure, measured, budget_ms)
    with_ties = len(measured) > 0 and bool((measured["standing"] == TIED).any())
    layout.dress(figure, measured, layout.heading(frame, measured, title, limits, with_ties), rows)
    return figure


def with_standing(measured: pd.DataFrame, limits: Sequence[Limit]) -> pd.DataFrame:
    """Return complete trials with the columns ``standing``, one of `LOOKS`, and ``front_probability``."""
    both = axes(measured)
    probability = certainty.front_probabilities(measured, both, limits)
    standing = probability.map(lambda likely: TIED if likely >= certainty.TIED_FROM else DOMINATED).astype(object)
    standing[(violations(measured, limits) > 0) & (standing != TIED)] = BEYOND
    standing[on_front(measured, both, limits)] = ON_FRONT
    return measured.assign(standing=standing, front_probability=probability)


def _draw_device(
    figure: go.Figure, rows: pd.DataFrame, styles: Mapping[str, Mapping[str, str]], place: Mapping[str, int]
) -> None:
    import plotly.graph_objects as go

    metric = Metric.of_frame(rows)
    front = rows[rows["standing"] == ON_FRONT]
    front = front.sort_values(["latency_ms", metric.name], ascending=[True, metric.maximised])
    line = {"color": "#444", "width": 2, "shape": "hv"}
    figure.add_trace(
        go.Scatter(
            x=front["latency_ms"], y=front[metric.name], mode="lines", line=line, hoverinfo="skip", showlegend=False
        ),
        **place,
    )
    figure.add_trace(layout.knee(front[front.index.isin(list(knees(front).values()))]), **place)
    for standing in LOOKS:
        for compression, group in rows[rows["standing"] == standing].groupby("compression"):
            figure.add_trace(_points(group, styles, str(compression), standing), **place)


def _points(rows: pd.DataFrame, styles: Mapping[str, Mapping[str, str]], compression: str, standing: str) -> go.Scatter:
    import plotly.graph_objects as go

    colour, look = styles["compression"][compression], LOOKS[standing]
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
            "size": look.size,
            "line": {"color": look.outline, "width": look.outline_width},
        },
        opacity=look.opacity,
        text=[hover(*each, standing) for each in zip(stacks, rows["front_probability"], strict=True)],
        hoverinfo="text",
        hoverlabel={"bgcolor": "white", "bordercolor": colour, "align": "left", "font": {"size": 12}},
        legendgroup=compression,
        showlegend=False,
    )


def hover(stack: Stack, front_probability: float, standing: str) -> str:
    """Return the whole stack, layer by layer, as the HTML that Plotly shows over a point."""
    metric = stack.metric
    test = "" if stack.test_accuracy is None else f", test {_value(stack.test_accuracy, metric)}"
    likely = f" (on it with {readable.probability(front_probability)})" if standing == TIED else ""
    disturbed = [f"   disturbed: {html.escape(stack.disturbed)}"] if stack.disturbed else []
    lines = [
        f"<b>trial {stack.number}</b>, {standing}{likely}",
        f"<b>{stack.latency_ms:.3f} ms</b>  95 % interval {stack.latency.low:.3f} to {stack.latency.high:.3f} ms",
        *disturbed,
        *[f"   {readable.EMULATED}"] * stack.emulated,
        f"<b>{_value(stack.accuracy, metric)}</b> validation {metric.name}{test}",
        f"<b>{readable.size(stack.size_bytes)}</b> compiled size",
        "",
    ]
    for layer, choices in stack.layers.items():
        text = ", ".join(f"{axis} {choice}" for axis, choice in choices.items() if choice is not None)
        lines.append(f"<i>{html.escape(layer)}</i><br>   {html.escape(text)}")
    return "<br>".join(lines)


def _value(reached: float, metric: Metric) -> str:
    """Return an accuracy as Plotly's axes have it, ``"97.33%"``, and another metric with four digits."""
    return f"{reached:.2%}" if metric.is_accuracy else metric.text(reached)
