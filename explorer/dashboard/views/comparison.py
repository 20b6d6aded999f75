"""A snapshot and two trials' numbers → the two stacks side by side: choices, results and layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html
from dash.development.base_component import Component

from explorer.core.configuration import AXES
from explorer.core.measurement.metric import Metric
from explorer.dashboard.brush import text
from explorer.dashboard.state import Snapshot
from explorer.dashboard.views.elements import Shown, note, open_button, table
from explorer.dashboard.views.stack import quantities, shown
from explorer.results.trials.trial import Trial


def comparison(snapshot: Snapshot, first: int, second: int) -> list[Component]:
    """Return what two stacks have in common and what not.

    Raises
    ------
    ExplorerError
        If one of them has not finished.
    """
    one, other = snapshot.opened.trial(first), snapshot.opened.trial(second)
    heads = ("", f"trial {first}", f"trial {second}", "")
    parts: list[Component] = [
        html.H3(["Trials ", open_button(first), " and ", open_button(second), " side by side"]),
        table(heads, _choices(one.row, other.row), "The choices of both stacks"),
        table(("", *heads[1:3], "second over first"), _results(one.row, other.row), "The results of both", [1, 2, 3]),
    ]
    layers = _layers(one, other)
    caption = "The layers of both: what ran"
    parts.append(table(("layer", *heads[1:3], ""), layers, caption) if layers else note("no account of their layers"))
    return parts


def _choices(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[list[Shown]]:
    """Return a row per axis; where two choices differ, a sign and bold text say so."""
    return [
        _row(axis, text(one.get(axis)), text(other.get(axis)))
        for axis in AXES
        if one.get(axis) is not None or other.get(axis) is not None
    ]


def _row(name: str, one: str, other: str) -> list[Shown]:
    if one == other:
        return [name, one, other, ""]
    return [name, html.Strong(one), html.Strong(other), html.Span("≠", title="they differ")]


def _results(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[list[Shown]]:
    rows: list[list[Shown]] = []
    metric = Metric.of(one)
    for column, name in quantities(metric).items():
        left, right = one.get(column), other.get(column)
        if left is None and right is None:
            continue
        cells = ["-" if value is None else shown(column, value, metric) for value in (left, right)]
        ratio = f"{right / left:.2f}" if left and right is not None else ""
        rows.append([name, *cells, ratio])
    return rows


def _layers(one: Trial, other: Trial) -> list[list[Shown]]:
    """Return a row per layer of either network, by its name: what ran of it in each."""
    ran = [{layer["name"]: layer["ran"] for layer in trial.layers} for trial in (one, other)]
    names = dict.fromkeys([*ran[0], *ran[1]])
    return [_row(name, *(own.get(name, "-") for own in ran)) for name in names]
