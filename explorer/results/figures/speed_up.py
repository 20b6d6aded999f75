"""Speed-ups of compressions → the one achieved over those that MACs and bytes promise, on logarithmic axes."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.results.figures.intervals import REFERENCE, bar, dots, dress
from explorer.results.figures.layout import COLOURS, SYMBOLS, logarithmic

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

PROMISES = {"expected_from_macs": "MACs", "expected_from_bytes": "bytes"}


def speed_up(rows: pd.DataFrame) -> go.Figure:
    """Return the figure; `rows` have the columns of `explorer.results.study_report.questions.speed_up.table`.

    A compression has a colour, a device a shape; a marker that is filled stands over what MACs promise, an open one
    over what bytes do. On the dashed line a promise is kept.
    """
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go

    if rows[list(PROMISES)].isna().all(axis=None):
        return _without_promises(rows)
    figure = go.Figure()
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(rows["compression"].unique())}
    symbols = {name: SYMBOLS[index % len(SYMBOLS)] for index, name in enumerate(rows["device"].unique())}
    for (device, compression), group in rows.groupby(["device", "compression"], sort=False):
        for column, promise in PROMISES.items():
            known = group[group[column].notna()]
            if known.empty:
                continue
            opened = "-open" if promise == "bytes" else ""
            figure.add_trace(
                go.Scatter(
                    x=known[column].tolist(),
                    y=known["speed_up"].tolist(),
                    name=html.escape(f"{compression}, {device}, {promise}"),
                    mode="markers",
                    marker={"color": colours[compression], "symbol": symbols[device] + opened, "size": 11},
                    error_y=bar(known, "speed_up", "speed_up_low", "speed_up_high"),
                    text=[html.escape(_text(row)) for row in known.to_dict("records")],
                    hoverinfo="text",
                )
            )
    values = rows[["speed_up", *PROMISES]].to_numpy(dtype=float)
    ends = [0.9 * float(np.nanmin(values)), 1.1 * float(np.nanmax(values))]
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=REFERENCE, hoverinfo="skip", showlegend=False))
    scale = logarithmic(pd.Series(ends))
    figure.update_xaxes(title_text="Expected speed-up", **scale)
    figure.update_yaxes(title_text="Achieved speed-up", **scale)
    return dress(figure, 560)


def _without_promises(rows: pd.DataFrame) -> go.Figure:
    """Return the speed-ups of a study that has neither MACs nor bytes on record, one line each."""
    labels = [_text(row).partition(":")[0] for row in rows.to_dict("records")]
    columns = ("speed_up", "speed_up_low", "speed_up_high")
    return dots(rows, labels, columns, "device", "Achieved speed-up", 1.0)


def _text(row: Mapping[Any, Any]) -> str:
    ratio = "" if row["ratio"] != row["ratio"] or row["ratio"] is None else f" {row['ratio']:g}"
    return (
        f"{row['compression']}{ratio} {row['format']} on {row['device']}: {row['speed_up']:.2f}, {row['pairs']} pairs"
    )
