"""A snapshot, a device and the brush → a box for each choice and two ends for each number, which keys can set."""

from __future__ import annotations

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from explorer.dashboard.brush import Axis, Brush, Part

UNITS = {"latency_ms": "latency (ms)", "accuracy": "accuracy (share)", "size_bytes": "size (bytes)"}


def controls(found: list[Axis], brush: Brush) -> list[Component]:
    """Return the controls of all axes, set as `brush` says."""
    return [_control(axis, brush.get(axis.name, {})) for axis in found]


def signature(axis: Axis) -> str:
    """Return what changes whenever the controls of an axis must be other ones."""
    return f"{axis.name} {axis.choices}"


def _control(axis: Axis, part: Part) -> html.Fieldset:
    name = UNITS.get(axis.name, axis.name.replace("_", " "))
    own: list[Component]
    if axis.choices:
        chosen = [choice for choice in axis.choices if choice in part.get("choices", ())]
        own = [dcc.Checklist(list(axis.choices), chosen, id={"type": "choices", "axis": axis.name}, inline=True)]
    else:
        ends = (("least", axis.least), ("most", axis.most))
        own = [_end(axis, end, part, bound) for end, bound in ends]
    named: dict[str, Any] = {"data-axis": signature(axis)}
    return html.Fieldset([html.Legend(name), *own], **named)


def _end(axis: Axis, end: str, part: Part, bound: float) -> Component:
    value = part.get(end)
    number = dcc.Input(
        id={"type": end, "axis": axis.name},
        type="number",
        step="any",
        debounce=True,
        value=f"{value:.6g}" if isinstance(value, float | int) else None,
        placeholder=f"{bound:.6g}" if abs(bound) < 1e6 else f"{bound:.0f}",
    )
    return html.Label([f"at {end} ", number])
