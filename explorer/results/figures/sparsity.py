"""Times in csr over dense ones → a line for each algorithm over the ratio, on each device."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from explorer.results.figures.intervals import REFERENCE, bar, dress
from explorer.results.figures.layout import COLOURS, logarithmic

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

DASHES = ("solid", "dash", "dot", "dashdot")


def sparsity(rows: pd.DataFrame) -> go.Figure:
    """Return the figure; `rows` have the columns of `explorer.results.study_report.questions.sparsity.table`.

    An algorithm has a colour, a device a dash. Below the dashed line csr is faster.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(sorted(rows["algorithm"].unique()))}
    dashes = {name: DASHES[index % len(DASHES)] for index, name in enumerate(rows["device"].unique())}
    for (device, algorithm), group in rows.groupby(["device", "algorithm"], sort=True):
        line = group.sort_values("ratio")
        figure.add_trace(
            go.Scatter(
                x=line["ratio"].tolist(),
                y=line["times_dense"].tolist(),
                name=html.escape(f"{algorithm}, {device}"),
                mode="lines+markers",
                line={"color": colours[algorithm], "dash": dashes[device]},
                marker={"size": 9},
                error_y=bar(line, "times_dense", "times_dense_low", "times_dense_high"),
            )
        )
    figure.add_hline(1.0, line=REFERENCE)
    figure.update_xaxes(title_text="Ratio of removed weights")
    figure.update_yaxes(title_text="Time in csr over dense", **logarithmic(rows["times_dense"]))
    return dress(figure, 480)
