"""Finished trials on several devices → every stack's latency as a line across them, on the page with the fronts."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from explorer.results import readable
from explorer.results.across_devices.same_stack import one_each
from explorer.results.answers.best_stack import stack_of
from explorer.results.emulated import emulated_devices, without_emulated
from explorer.results.figures import fronts, layout
from explorer.results.figures.layout import LOOKS, ON_FRONT
from explorer.space.limits import Limit

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from explorer.results.figures.kinds import Options, Study

Styles = Mapping[str, Mapping[str, str]]  # see `layout.styles`
FAINT = {"color": "rgba(120, 120, 120, 0.22)", "width": 1}
ELSEWHERE_PX = 7  # a marker of a stack on a device where it is not on the front
GAP = {"device": None, "latency_ms": None}  # ends a line


def draw(study: Study, options: Options) -> go.Figure | None:
    """Return `lines` of an opened study."""
    frame = without_emulated(study.frame, () if options.emulated else study.emulated_devices)
    return lines(frame, study.name, options.latency_ms, study.limits)


def lines(
    frame: pd.DataFrame, title: str, budget_ms: float | None = None, limits: Sequence[Limit] = ()
) -> go.Figure | None:
    """Return a line for each stack that was measured on at least two devices; None where there is no such stack.

    The stacks on the front of a device have the colour of their compression; their markers have the shape of the
    algorithm, and are large and outlined on the devices whose front they are on. The others are faint.

    Parameters
    ----------
    frame
        One row per trial.
    budget_ms
        Latency at which to draw a horizontal line.
    limits
        Stacks on a front keep all of them.
    """
    import plotly.graph_objects as go

    shared = measured_on_several(frame, limits)
    if shared.empty:
        return None
    # The marked names stand where names do in all that is drawn.
    marked = emulated_devices(shared)
    shared = shared.assign(shown=[readable.device(device, device in marked) for device in shared["device"]])
    devices = sorted(shared["shown"].unique())
    drawn, styles = go.Figure(), layout.styles(shared)
    on_a_front = shared.groupby("stack")["standing"].transform(lambda standings: (standings == ON_FRONT).any())
    drawn.add_trace(_faint(shared[~on_a_front]))
    for compression, rows in shared[on_a_front].groupby("compression"):
        drawn.add_trace(_bright(rows, styles, str(compression)))
    layout.add_choices(drawn, styles)
    if budget_ms is not None:
        drawn.add_hline(budget_ms, line=layout.BUDGET)
    layout.set_layout(drawn, _heading(shared, title))
    drawn.update_xaxes(categoryorder="array", categoryarray=list(map(html.escape, devices)), **layout.AXIS)
    latencies = layout.logarithmic(shared["latency_ms"])
    drawn.update_yaxes(title_text=layout.LATENCY_TITLE, **layout.AXIS, **latencies)
    return drawn


def measured_on_several(frame: pd.DataFrame, limits: Sequence[Limit] = ()) -> pd.DataFrame:
    """Return a row for each device and stack that was measured on at least two, stack by stack.

    Returns
    -------
    pd.DataFrame
        Rows of `frame` with the columns ``stack``, ``standing`` and ``front_probability``, by device within a stack.
    """
    complete = frame[frame["state"] == "complete"] if len(frame) else frame
    if complete.empty or complete["device"].nunique() < 2:
        return complete.iloc[:0]
    rows = fronts.with_standing(complete, limits)
    rows = one_each(rows, rows["standing"] == ON_FRONT).sort_values(["stack", "device"], kind="stable")
    return rows[rows.groupby("stack")["device"].transform("size") > 1]


def _faint(rows: pd.DataFrame) -> go.Scatter:
    """Return the lines of stacks that are on no front; one trace, as there may be thousands."""
    import plotly.graph_objects as go

    points = [point for _, line in rows.groupby("stack") for point in (*_points(line), GAP)]
    return go.Scatter(
        x=[point["device"] for point in points],
        y=[point["latency_ms"] for point in points],
        mode="lines",
        line=FAINT,
        hoverinfo="skip",
        showlegend=False,
    )


def _points(line: pd.DataFrame) -> Iterator[Mapping[str, object]]:
    for device, latency in zip(line["shown"], line["latency_ms"], strict=True):
        yield {"device": html.escape(device), "latency_ms": latency}


def _bright(rows: pd.DataFrame, styles: Styles, compression: str) -> go.Scatter:
    """Return the lines of the stacks on fronts that have this compression."""
    import plotly.graph_objects as go

    colour, look = styles["compression"][compression], LOOKS[ON_FRONT]
    points = [point for _, line in rows.groupby("stack") for point in (*_marked(line, styles), GAP)]

    def each(name: str, default: object = None) -> list[object]:
        return [point.get(name, default) for point in points]

    return go.Scatter(
        x=each("device"),
        y=each("latency_ms"),
        error_y={
            "type": "data", "array": each("above", 0), "arrayminus": each("below", 0),
            "color": colour, "thickness": 1.5, "width": 4,
        },
        mode="lines+markers",
        line={"color": colour, "width": 1.5},
        marker={
            "color": colour, "opacity": 1, "symbol": each("symbol", "circle"), "size": each("size", 0),
            "line": {"color": look.outline, "width": each("outline", 0)},
        },
        text=each("text", ""),
        hoverinfo="text",
        hoverlabel={"bgcolor": "white", "bordercolor": colour, "align": "left", "font": {"size": 12}},
        legendgroup=compression,
        showlegend=False,
    )  # fmt: skip


def _marked(line: pd.DataFrame, styles: Styles) -> Iterator[Mapping[str, object]]:
    """Yield a stack's points, each with its marker, its interval and all that is known of the stack there."""
    stacks = [stack_of(row) for _, row in line.iterrows()]
    latencies = {str(device): f"{stack.latency_ms:.3f} ms" for device, stack in zip(line["shown"], stacks, strict=True)}
    everywhere = ", ".join(f"{html.escape(device)} {latency}" for device, latency in latencies.items())
    rows = zip(_points(line), stacks, line["standing"], line["front_probability"], strict=True)
    for point, stack, standing, likely in rows:
        best = standing == ON_FRONT
        yield {
            **point,
            "above": stack.latency.high - stack.latency_ms,
            "below": stack.latency_ms - stack.latency.low,
            "symbol": styles["algorithm"][str(stack.choices["algorithm"])],
            "size": LOOKS[ON_FRONT].size if best else ELSEWHERE_PX,
            "outline": LOOKS[ON_FRONT].outline_width if best else 0,
            "text": f"{fronts.hover(stack, likely, standing)}<br><br><b>everywhere</b>  {everywhere}",
        }


def _heading(shared: pd.DataFrame, title: str) -> str:
    """Return title and explanation as the HTML that Plotly shows above the lines."""
    count = f"{shared['stack'].nunique()} stacks measured on several devices, a line each"
    explained = (
        f"coloured: on the front of a device; outlined: {ON_FRONT} of this one; faint: on none; "
        "bars: 95 % interval of the median"
    )
    small = f'<span style="font-size:13px;color:#555">{count} · {explained}</span>'
    return f"<b>{html.escape(title)}: the same stacks across devices</b><br>{small}"
