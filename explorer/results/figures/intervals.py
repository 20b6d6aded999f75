"""Estimates with intervals → a dot with a bar for each, one line a row; what figures of a report have in common."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.results.figures.layout import AXIS, COLOURS

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROW_PX = 26
MOST_LINES = 40
REFERENCE = {"color": "#777", "width": 1.5, "dash": "dash"}


def dress(figure: go.Figure, height: int) -> go.Figure:
    """Set what all figures of a report have in common: fonts, sizes and the legend above; the page has the heading."""
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 10, "r": 20, "t": 50, "b": 60},
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.02,
            "x": 0,
            "itemclick": False,
            "itemdoubleclick": False,
        },
        font={"family": "Inter, Helvetica, Arial, sans-serif", "size": 14, "color": "#222"},
        hovermode="closest",
    )
    figure.update_xaxes(automargin=True, **AXIS)
    figure.update_yaxes(automargin=True, **AXIS)
    return figure


def dots(
    rows: pd.DataFrame,
    labels: Sequence[str],
    columns: tuple[str, str, str],
    colour: str,
    x_title: str,
    reference: float,
) -> go.Figure:
    """Return a dot for each row at its value, with a bar from the low to the high end of its interval.

    Parameters
    ----------
    labels
        A row's name on the vertical axis; of more than `MOST_LINES` rows the first are drawn.
    columns
        Of the value and of the ends.
    colour
        Column whose values get a colour each.
    reference
        Where to draw a vertical line.
    """
    import plotly.graph_objects as go

    drawn = rows.assign(label=[html.escape(label) for label in labels])[:MOST_LINES]
    figure, (value, low, high) = go.Figure(), columns
    for index, (name, group) in enumerate(drawn.groupby(colour, sort=False)):
        figure.add_trace(
            go.Scatter(
                x=group[value].tolist(),
                y=group["label"].tolist(),
                name=html.escape(str(name)),
                mode="markers",
                marker={"color": COLOURS[index % len(COLOURS)], "size": 11},
                error_x=bar(group, value, low, high),
            )
        )
    figure.add_vline(reference, line=REFERENCE)
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes(categoryorder="array", categoryarray=drawn["label"].drop_duplicates()[::-1].tolist())
    return dress(figure, 150 + ROW_PX * drawn["label"].nunique())


def bar(rows: pd.DataFrame, value: str, low: str, high: str) -> dict[str, object]:
    """Return the bars of the intervals, as Plotly takes them."""
    return {
        "type": "data",
        "array": (rows[high] - rows[value]).tolist(),
        "arrayminus": (rows[value] - rows[low]).tolist(),
        "thickness": 1.5,
        "width": 4,
    }
