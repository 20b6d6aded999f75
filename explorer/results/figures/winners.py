"""Contests between algorithms → a bar for each network and dtype, parted by who wins how often."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from explorer.results.figures.intervals import MOST_LINES, ROW_PX, dress
from explorer.results.figures.layout import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

TIED = "tied"
GREY = "#BBBBBB"


def winners(rows: pd.DataFrame) -> go.Figure:
    """Return the figure; `rows` have the columns of `explorer.results.study_report.questions.algorithms.table`."""
    import plotly.graph_objects as go

    where = rows["model"] + " " + rows["width"].map("{:g}".format) + ", " + rows["dtype"] + ", " + rows["device"]
    where += ", " + rows["dataset"] if rows["dataset"].nunique() > 1 else ""
    kept = where.drop_duplicates()[:MOST_LINES]
    drawn = rows.assign(where=where.map(html.escape))[where.isin(kept)]
    figure = go.Figure()
    names = [name for name in sorted(rows["algorithm"].unique()) if name != TIED]
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)} | {TIED: GREY}
    for name, colour in colours.items():
        own = drawn[drawn["algorithm"] == name]
        if len(own):
            share = (own["wins"] / own["contests"]).tolist()
            text = [f"{wins} of {contests}" for wins, contests in zip(own["wins"], own["contests"], strict=True)]
            figure.add_trace(
                go.Bar(
                    x=share, y=own["where"].tolist(), name=html.escape(name), orientation="h",
                    marker={"color": colour}, hovertext=text, hoverinfo="text+name",
                )
            )  # fmt: skip
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title_text="Share of contests won", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    return dress(figure, 150 + ROW_PX * len(kept))
