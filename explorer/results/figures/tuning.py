"""What tuned stacks take of the untuned time → a dot with its interval for each device and budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.results.figures.intervals import dots

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def tuning(rows: pd.DataFrame) -> go.Figure:
    """Return the figure; `rows` have the columns of `explorer.results.study_report.questions.tuning.table`."""
    labels = [
        f"{row['device']}: {row['tuning_trials']:g} candidates, {row['tuning_seconds']:g} s, {row['tuner']}"
        for row in rows.to_dict("records")
    ]
    columns = ("times_untuned", "times_untuned_low", "times_untuned_high")
    return dots(rows, labels, columns, "against", "Time of tuned over untuned", 1.0)
