"""Rank correlations of accuracy, size, MACs and latency → a dot with an interval for each pair and device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.results.figures.intervals import dots

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def correlations(rows: pd.DataFrame) -> go.Figure:
    """Return the figure; `rows` have the columns of `explorer.results.study_report.questions.correlations.table`."""
    several = rows["dataset"].nunique() > 1
    where = rows["device"] + (", " + rows["dataset"] if several else "")
    labels = (rows["one"] + " and " + rows["other"]).tolist()
    columns = ("correlation", "low", "high")
    figure = dots(rows.assign(where=where), labels, columns, "where", "Rank correlation", 0.0)
    figure.update_xaxes(range=[-1.05, 1.05])
    return figure
