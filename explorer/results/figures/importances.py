"""Shares of variance → bars for what each layer explains alone and in interactions, of latency beside accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.results.figures.intervals import ROW_PX, dress
from explorer.results.figures.layout import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MOST_BARS = 12  # of one quantity, the largest first


def importances(rows: pd.DataFrame) -> go.Figure:
    """Return the figure; `rows` have the columns of `explorer.results.study_report.questions.importances.table`."""
    import plotly.graph_objects as go

    by = "layer" if (rows["by"] == "layer").any() else "axis"
    own = rows[(rows["by"] == by) & (rows["share"] >= 0.001)]
    named = own.assign(label=own["factor"] + (" with " + own["with"]).where(own["with"] != "", ""))
    order = named.groupby("label", sort=False)["share"].max().sort_values(ascending=False)[:MOST_BARS].index
    figure = go.Figure()
    for index, (target, group) in enumerate(named.groupby("target", sort=False)):
        drawn = group[group["label"].isin(order)]
        marker = {"color": COLOURS[index % len(COLOURS)]}
        figure.add_trace(
            go.Bar(
                x=drawn["share"].tolist(), y=drawn["label"].tolist(), name=str(target), orientation="h", marker=marker
            )
        )
    figure.update_xaxes(title_text="Share of the variance", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(categoryorder="array", categoryarray=list(order)[::-1])
    return dress(figure, 150 + 2 * ROW_PX * len(order))
