"""A snapshot, a device and the brush → the stacks in it as a table, page by page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from dash import dcc, html
from dash.development.base_component import Component

from explorer.core.measurement.metric import Metric
from explorer.dashboard.brush import Brush, inside, text
from explorer.dashboard.brush import axes as axes_of
from explorer.dashboard.state import Snapshot
from explorer.dashboard.views.elements import Shown, aria, note, open_button, table
from explorer.results import readable

if TYPE_CHECKING:
    import pandas as pd

ROWS = 15  # of a page
ORDERS = {  # what one may sort by, "accuracy" being the study's metric → whether the best have the lowest values
    "accuracy": False, "latency_ms": True, "size_bytes": True, "number": True, "front_probability": False
}  # fmt: skip
NAMES = {
    "accuracy": "accuracy", "latency_ms": "latency", "size_bytes": "size", "number": "number",
    "front_probability": "on the front",
}  # fmt: skip


class Page(NamedTuple):
    """One page of the table, counted from 0, what lies in the brush and how many pages that takes."""

    turned: int
    pages: int
    inside: int
    total: int
    content: Component


def page(snapshot: Snapshot, device: str | None, brush: Brush, order: str, index: int) -> Page:
    """Return a page of the stacks in the brush, the best first; the last one for an `index` beyond it."""
    rows = snapshot.on(device)
    if rows.empty:
        return Page(0, 1, 0, 0, note("no trial is complete yet"))
    metric = Metric.of_frame(rows)
    by, ascending = (metric.name, not metric.maximised) if order == "accuracy" else (order, ORDERS[order])
    kept = rows[inside(rows, brush)].sort_values(by, ascending=ascending, kind="stable")
    pages = max(1, math.ceil(len(kept) / ROWS))
    index = max(0, min(index, pages - 1))
    content = _table(rows, kept.iloc[ROWS * index : ROWS * (index + 1)])
    return Page(index, pages, len(kept), len(rows), content)


def _table(rows: pd.DataFrame, shown: pd.DataFrame) -> Component:
    metric = Metric.of_frame(rows)
    varying = [axis.name for axis in axes_of(rows) if axis.name not in (metric.name, "latency_ms", "size_bytes")]
    varying = [name for name in varying if not name.endswith("_bytes")]
    heads = ("trial", metric.name, "latency (ms)", "95 % interval", "size", "on front", *varying)
    cells: list[list[Shown]] = [
        [
            open_button(int(row["number"])),
            metric.text(row[metric.name]),
            f"{row['latency_ms']:.3f}",
            f"{row['latency_low_ms']:.3f} to {row['latency_high_ms']:.3f}" if "latency_low_ms" in row else "",
            readable.size(int(row["size_bytes"])),
            readable.probability(row["front_probability"]) if row["front_probability"] else "-",
            *(text(row[name]) for name in varying),
        ]
        for _, row in shown.iterrows()
    ]
    if not cells:
        return note("no stack is in the brush")
    return table(heads, cells, "Stacks in the brush, the best first", numeric=[1, 2, 4, 5])


def controls() -> Component:
    """Return what the table is sorted and turned by."""
    orders = [{"label": name, "value": order} for order, name in NAMES.items()]
    return html.Div(
        [
            html.Label("Sort by", htmlFor="order"),
            dcc.Dropdown(orders, "accuracy", id="order", clearable=False, searchable=False, className="short"),
            html.Button("previous", id="previous", n_clicks=0),
            html.Span(id="page-number", **aria(live="polite")),
            html.Button("next", id="next", n_clicks=0),
        ],
        className="row",
    )
