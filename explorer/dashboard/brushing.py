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


def register(app: Dash, studies: Studies) -> None:
    """Tell `app` how the brush changes, and what shows it.

    Each way to change it is a callback of its own: Dash drops the answer of one that is asked again meanwhile.
    """
    for each in (_by_controls, _by_gestures, _by_moments, _shows):
        each(app, studies)


def _by_controls(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("brushing", "data"),
        Input({"type": "choices", "axis": ALL}, "value"),
        Input({"type": "least", "axis": ALL}, "value"),
        Input({"type": "most", "axis": ALL}, "value"),
        State("version", "data"),
        State("device", "value"),
        State("brushing", "data"),
        prevent_initial_call=True,
    )
    def set_controls(_: Any, __: Any, ___: Any, version: Any, device: str, brush: Any) -> Any:
        found = _axes(studies, version, device)
        parts = set_by_hand(found, ctx.inputs_list)
        if nearly(parts, brush["parts"]):  # the controls show what a gesture has brushed
            raise PreventUpdate
        return {"parts": parts}


def _by_gestures(app: Dash, studies: Studies) -> None:
    brush, controls = Output("brushing", "data", allow_duplicate=True), Output("controls", "children")

    @app.callback(
        brush,
        controls,
        Input("front-rectangle", "data"),
        Input("parallel-rectangle", "data"),
        State("version", "data"),
        State("device", "value"),
        State("brushing", "data"),
        prevent_initial_call=True,
    )
    def draw(front: Any, across: Any, version: Any, device: str, brush: Any) -> tuple[Any, ...]:
        found = _axes(studies, version, device)
        drawn = (
            framed(front, _metric(studies, version))
            if ctx.triggered_id == "front-rectangle"
            else parallel.selected(found, across)
        )
        if not drawn:
            raise PreventUpdate
        parts = merged(brush["parts"], drawn)
        return {"parts": parts}, brushes.controls(found, parts)

    @app.callback(
        brush,
        Output("controls", "children", allow_duplicate=True),
        Input("clear", "n_clicks"),
        State("version", "data"),
        State("device", "value"),
        prevent_initial_call=True,
    )
    def clear(_: int, version: Any, device: str) -> tuple[Any, ...]:
        return {"parts": {}}, brushes.controls(_axes(studies, version, device), {})


def _by_moments(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("brushing", "data", allow_duplicate=True),
        Output("controls", "children", allow_duplicate=True),
        Input("version", "data"),
        Input("device", "value"),
        State("brushing", "data"),
        State("controls", "children"),
        prevent_initial_call=True,
    )
    def follow(version: Any, device: str, brush: Any, controls: Any) -> tuple[Any, ...]:
        """Give the page the axes that stacks differ in now, or on another device; a brush by another one ends."""
        found = _axes(studies, version, device)
        names = {axis.name for axis in found}
        parts = {name: part for name, part in brush["parts"].items() if name in names}
        same = signature(controls) == [brushes.signature(axis) for axis in found]
        return (
            no_update if parts == brush["parts"] else {"parts": parts},
            no_update if same else brushes.controls(found, parts),
        )


def _axes(studies: Studies, version: Any, device: str | None) -> list[Axis]:
    if not version:
        raise PreventUpdate
    return axes(studies.snapshot(version[0]).on(device))


def _metric(studies: Studies, version: Any) -> str:
    return studies.snapshot(version[0]).opened.metric.name


def _shows(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("parallel", "figure"),
        Input("version", "data"),
        Input("device", "value"),
        Input("theme", "data"),
        Input("drawn-brush", "data"),
    )
    def draw(version: Any, device: str, look: str | None, brush: Any) -> Any:
        """Draw the lines, which take longer than the points: a brush shows in the front first."""
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


def framed(moved: Any, metric: str) -> dict[str, Part]:
    """Return the parts of the brush that a rectangle over the front stands for; nothing for another gesture.

    Parameters
    ----------
    metric
        What a front has on its vertical axis.
    """
    drawn = moved.get("selections") if isinstance(moved, Mapping) else None
    if not drawn or drawn[-1].get("type") != "rect":
        return {}
    ends = {
        name: sorted(float(drawn[-1][f"{axis}{end}"]) for end in (0, 1))
        for axis, name in (("x", "latency_ms"), ("y", metric))
    }
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


def nearly(one: Brush, other: Brush) -> bool:
    """Tell whether two brushes are the same but for digits that a field does not show."""
    return _rounded(one) == _rounded(other)


def _rounded(brush: Brush) -> dict[str, Any]:
    return {
        name: {end: sorted(value) if isinstance(value, list) else f"{value:.6g}" for end, value in part.items()}
        for name, part in brush.items()
    }


def signature(controls: Any) -> list[str] | None:
    """Return name and choices of each axis that the page has controls for; None where it has none."""
    return [str(each["props"]["data-axis"]) for each in controls] if controls else None
