"""Gestures on the page's figures, and its boxes and numbers → one brush, which all of them show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate

from explorer.dashboard.brush import Axis, Brush, Part, axes, inside, words
from explorer.dashboard.state import Studies
from explorer.dashboard.theme import theme
from explorer.dashboard.views import brushes, parallel

ENDS = ("least", "most")
_ACROSS = {"x": "latency_ms", "y": "accuracy"}  # a front's axis → what it shows


def register(app: Dash, studies: Studies) -> None:
    """Tell `app` how the brush changes, and what shows it."""
    _changes(app, studies)
    _shows(app, studies)


def _changes(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("brushing", "data"),
        Output("controls", "children"),
        Input({"type": "choices", "axis": ALL}, "value"),
        Input({"type": "least", "axis": ALL}, "value"),
        Input({"type": "most", "axis": ALL}, "value"),
        Input("parallel", "relayoutData"),
        Input("front", "relayoutData"),
        Input("clear", "n_clicks"),
        Input("version", "data"),
        Input("device", "value"),
        State("brushing", "data"),
        State("controls", "children"),
        prevent_initial_call=True,
    )
    def change(
        choices: Any, _: Any, __: Any, across: Any, moved: Any, ___: int, version: Any, device: str, brush: Any,
        controls: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        if not version:
            raise PreventUpdate
        found = axes(studies.snapshot(version[0]).on(device))
        old, by = dict(brush["parts"]), ctx.triggered_id
        if by == "parallel":
            new = merged(old, parallel.selected(found, across))
        elif by == "front":
            new = merged(old, framed(moved))
        elif by == "clear":
            new = {}
        elif isinstance(by, dict):
            new = set_by_hand(found, ctx.inputs_list[:3])
        else:  # the axes of another moment or device
            names = {axis.name for axis in found}
            new = {name: part for name, part in old.items() if name in names}
            made = brushes.controls(found, new)
            same = signature(controls) == [axis.name + str(axis.choices) for axis in found]
            return no_update if new == old else {"parts": new, "by": "study"}, no_update if same else made
        if new == old:
            raise PreventUpdate
        source = by if isinstance(by, str) else "controls"
        told = no_update if source == "controls" else brushes.controls(found, new)
        return {"parts": new, "by": source}, told


def _shows(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("parallel", "figure"),
        Input("version", "data"),
        Input("device", "value"),
        Input("theme", "data"),
        Input("brushing", "data"),
    )
    def draw(version: Any, device: str, look: str | None, brush: Any) -> Any:
        if not version or look is None or device is None:
            raise PreventUpdate
        return parallel.figure(studies.snapshot(version[0]), device, brush["parts"], theme(look))

    @app.callback(
        Output("brushed", "children"), Input("version", "data"), Input("device", "value"), Input("brushing", "data")
    )
    def count(version: Any, device: str, brush: Any) -> str:
        if not version:
            raise PreventUpdate
        rows = studies.snapshot(version[0]).on(device)
        if rows.empty:
            return ""
        kept, said = int(inside(rows, brush["parts"]).sum()), words(brush["parts"])
        return f"{kept:,} of {len(rows):,} stacks" + (f": {said}" if said else ", nothing is brushed")


def clicked(click: Any) -> int | None:
    """Return the number of the trial whose point was clicked; None for another point."""
    data = click["points"][0].get("customdata") if click and click.get("points") else None
    number = data[0] if isinstance(data, list) else data
    return None if number is None else int(number)


def merged(old: Brush, changed: Mapping[str, Part]) -> dict[str, Part]:
    """Return a brush with some of its parts changed; an empty part is removed."""
    return {name: part for name, part in {**old, **changed}.items() if part}


def framed(moved: Any) -> dict[str, Part]:
    """Return the parts of the brush that a rectangle over the front stands for; nothing for another gesture."""
    drawn = moved.get("selections") if isinstance(moved, Mapping) else None
    if not drawn or drawn[-1].get("type") != "rect":
        return {}
    ends = {name: sorted(float(drawn[-1][f"{axis}{end}"]) for end in (0, 1)) for axis, name in _ACROSS.items()}
    return {name: {"least": low, "most": high} for name, (low, high) in ends.items()}


def set_by_hand(found: list[Axis], inputs: Any) -> dict[str, Part]:
    """Return the brush that boxes and numbers say, as Dash lists them: choices, least and most of each axis."""
    parts: dict[str, Part] = {axis.name: {} for axis in found}
    for kind, own in zip(("choices", *ENDS), inputs, strict=True):
        for control in own:
            value, name = control.get("value"), control["id"]["axis"]
            if name in parts and value not in (None, "", []):
                parts[name][kind] = value if kind == "choices" else float(value)  # type: ignore[literal-required]
    return {name: part for name, part in parts.items() if part}


def signature(controls: Any) -> list[str] | None:
    """Return name and choices of each axis that the page has controls for; None where it has none."""
    if not controls:
        return None
    return [str(each["props"]["data-axis"]) for each in controls]
