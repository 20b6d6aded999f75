"""Failures, skipped trials and layers that fell back → a bar for each place, as a share of all that could."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from explorer.results.figures.intervals import MOST_LINES, ROW_PX, dress
from explorer.results.figures.layout import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def failures(rows: pd.DataFrame) -> go.Figure | None:
    """Return the figure; `rows` have the columns of `explorer.results.study_report.questions.failures.table`."""
    import plotly.graph_objects as go

    if rows.empty:
        return None
    figure, drawn = go.Figure(), rows[:MOST_LINES]
    for index, (what, group) in enumerate(drawn.groupby("what", sort=False)):
        figure.add_trace(
            go.Bar(
                x=(group["number"] / group["all"]).tolist(), y=[html.escape(each) for each in group["of"]],
                name=html.escape(str(what)), orientation="h", marker={"color": COLOURS[index % len(COLOURS)]},
                hovertext=[f"{n:,} of {a:,}" for n, a in zip(group["number"], group["all"], strict=True)],
                hoverinfo="text+name",
            )
        )  # fmt: skip
    figure.update_xaxes(title_text="Share of all", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return dress(figure, 150 + ROW_PX * len(drawn))
