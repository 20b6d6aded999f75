"""A change by a user or a running study → the parts of the page that show it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, Patch, State, ctx, no_update
from dash.exceptions import PreventUpdate

from explorer.core.errors import ExplorerError
from explorer.dashboard import brushing
from explorer.dashboard.page import device_options
from explorer.dashboard.state import Snapshot, Studies
from explorer.dashboard.theme import theme
from explorer.dashboard.views import answer, comparison, fronts, legend, progress, stack, stacks
from explorer.dashboard.views.elements import fault, note

Version = list[Any] | None  # [study, …], as the page has it


def register(app: Dash, studies: Studies) -> None:
    """Tell `app` all that happens on the page."""
    for each in (_news, _fronts, _budget, _answer, _tables, _stack, brushing.register, _here):
        each(app, studies)


def shown(studies: Studies, version: Version) -> Snapshot:
    """Return the snapshot of the study that the page shows; before there is one, nothing happens."""
    if not version:
        raise PreventUpdate
    return studies.snapshot(str(version[0]))


def _news(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("version", "data"),
        Output("study", "options"),
        Output("study", "value"),
        Output("fault", "children"),
        Output("strip", "children"),
        Input("news", "n_intervals"),
        Input("study", "value"),
        State("version", "data"),
        State("study", "options"),
        prevent_initial_call=True,
    )
    def look(_: int | None, study: str | None, version: Version, options: list[str]) -> tuple[Any, ...]:
        """Look whether there is something new on record; a fault of the records is shown, and looked at again."""
        try:
            names = studies.names()
            if not names:
                return no_update, [], None, note("No trial has finished yet in the workspace."), []
            chosen = study if study in names else names[0]
            found = studies.snapshot(chosen)
        except Exception as error:  # such as a database that is being moved: whatever it is, the next look may do
            return no_update, no_update, no_update, fault(f"the records cannot be read now: {error}"), no_update
        now = [chosen, *found.version]
        return (
            no_update if now == version else now,
            no_update if names == options else names,
            no_update if chosen == study else chosen,
            None,
            progress.strip(found),
        )

    @app.callback(
        Output("device", "options"),
        Output("device", "value"),
        Output("details", "children"),
        Input("version", "data"),
        State("device", "value"),
        State("device", "options"),
        prevent_initial_call=True,
    )
    def update(version: Version, device: str | None, options: list[dict[str, str]]) -> tuple[Any, ...]:
        found = shown(studies, version)
        names = device_options(found)
        chosen = device if device in found.devices else found.devices[0]
        details = progress.details(found)
        return no_update if names == options else names, no_update if chosen == device else chosen, details


def _fronts(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("front", "figure"),
        Input("version", "data"),
        Input("device", "value"),
        Input("brushing", "data"),
        Input("theme", "data"),
        State("budget", "value"),
    )
    def front(version: Version, device: str, brush: Any, look: str | None, budget_ms: float | None) -> Any:
        if look is None or device is None:  # until the browser has said which it is
            raise PreventUpdate
        return fronts.figure(shown(studies, version), device, brush["parts"], budget_ms, theme(look))

    @app.callback(Output("legend", "children"), Input("version", "data"), Input("theme", "data"))
    def explain(version: Version, look: str | None) -> Any:
        return legend.legend(shown(studies, version), theme(look))


def _budget(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("place", "min"),
        Output("place", "max"),
        Output("place", "value"),
        Output("budget", "value"),
        Output("set-for", "data"),
        Input("place", "value"),
        Input("budget", "value"),
        Input("version", "data"),
        Input("device", "value"),
        State("set-for", "data"),
        prevent_initial_call=True,
    )
    def set_budget(
        place: float, budget_ms: float | None, version: Version, device: str, set_for: str
    ) -> tuple[Any, ...]:
        """Keep the slider and the number beside it the same; a study or device that is new to both begins between."""
        found = shown(studies, version)
        bounds, now = answer.bounds(found, device), f"{found.name} {device}"
        if bounds is None:
            return *answer.NO_BOUNDS, None, now
        low, high, middle = bounds
        if set_for != now:
            return low, high, middle, answer.budget(middle), now
        if ctx.triggered_id == "place":
            return no_update, no_update, no_update, answer.budget(place), now
        kept = answer.place(budget_ms, low, high) if budget_ms else place
        if ctx.triggered_id == "budget":
            return no_update, no_update, kept, no_update, now
        # News while the slider is moved: its own answer is dropped then.
        moved = abs(kept - place) > answer.STEP
        return low, high, no_update, answer.budget(place) if moved else no_update, now


def _answer(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("answer", "children"),
        Input("budget", "value"),
        Input("version", "data"),
        Input("device", "value"),
        Input("least-accuracy", "value"),
        State("set-for", "data"),
    )
    def best(budget_ms: float | None, version: Version, device: str, least: float | None, set_for: str) -> Any:
        found = shown(studies, version)
        if set_for != f"{found.name} {device}":  # the budget is still another device's
            raise PreventUpdate
        if not budget_ms:
            return note("no budget" if len(found.on(device)) else "no trial is complete yet")
        try:
            return answer.answer(found, device, float(budget_ms), least)
        except ExplorerError as error:
            return fault(str(error))

    @app.callback(
        Output("front", "figure", allow_duplicate=True),
        Input("budget", "value"),
        State("theme", "data"),
        State("front", "figure"),
        prevent_initial_call=True,
    )
    def draw_budget(budget_ms: float | None, look: str | None, figure: object) -> Any:
        if not figure:
            raise PreventUpdate
        changed = Patch()
        changed["layout"]["shapes"] = fronts.budget_shapes(budget_ms or None, theme(look))
        return changed


def _tables(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("table", "children"),
        Output("page-number", "children"),
        Output("turned", "data"),
        Input("version", "data"),
        Input("device", "value"),
        Input("drawn-brush", "data"),
        Input("order", "value"),
        Input("previous", "n_clicks"),
        Input("next", "n_clicks"),
        State("turned", "data"),
    )
    def turn(version: Version, device: str, brush: Any, order: str, _: int, __: int, turned: int) -> tuple[Any, ...]:
        step = {"previous": -1, "next": 1}.get(str(ctx.triggered_id), 0)
        start = 0 if ctx.triggered_id in ("drawn-brush", "order", "device") else turned + step
        page = stacks.page(shown(studies, version), device, brush["parts"], order, start)
        return page.content, f"page {page.turned + 1} of {page.pages}", page.turned


def _stack(app: Dash, studies: Studies) -> None:
    @app.callback(
        Output("opened", "data"),
        Input({"type": "open", "number": ALL}, "n_clicks"),
        Input("front", "clickData"),
        Input("open", "n_clicks"),
        Input("keep", "n_clicks"),
        Input("part", "n_clicks"),
        Input("study", "value"),
        State("number", "value"),
        State("opened", "data"),
        prevent_initial_call=True,
    )
    def choose(_: Any, click: Any, __: int, ___: int, ____: int, _____: str, number: int | None, opened: Any) -> Any:
        by = ctx.triggered_id
        if by == "study":
            return {}
        if by == "keep":
            return {**opened, "kept": opened.get("number")}
        if by == "part":
            return {**opened, "kept": None}
        wanted = brushing.clicked(click) if by == "front" else number if by == "open" else None
        if isinstance(by, dict) and ctx.triggered[0]["value"]:  # not a button that has just appeared
            wanted = by["number"]
        if wanted is None:
            raise PreventUpdate
        return {**opened, "number": wanted, "clicks": opened.get("clicks", 0) + 1}

    @app.callback(
        Output("panel", "children"),
        Output("comparison", "children"),
        Output("kept", "children"),
        Input("opened", "data"),
        Input("version", "data"),
    )
    def show(opened: dict[str, int | None], version: Version) -> tuple[Any, ...]:
        found = shown(studies, version)
        number, kept = opened.get("number"), opened.get("kept")
        if number is None:
            return note("Open a stack by a click on a point, by a number in a table, or by its number here."), [], ""
        panel = stack.panel(found, number)
        if kept is None:
            return panel, [], ""
        if kept == number:
            return panel, [], f"Trial {kept} is kept: open another one to see both side by side."
        try:
            return panel, comparison.comparison(found, kept, number), f"Trial {kept} is kept for comparison."
        except ExplorerError as error:
            return panel, fault(str(error)), ""


def _here(app: Dash, _: Studies) -> None:
    """Tell what happens in the browser alone; the functions are in ``assets/dashboard.js``."""
    here = functools.partial(ClientsideFunction, "dashboard")
    told: Callable[..., Any] = app.clientside_callback
    told(here("theme"), Output("theme", "data"), Input("theme-button", "n_clicks"))
    for figure in ("front", "parallel"):
        told(here("rectangle"), Output(f"{figure}-rectangle", "data"), Input(figure, "relayoutData"))
    told(
        here("drawn"),
        Output("drawn-brush", "data"),
        Input("front", "figure"),
        State("brushing", "data"),
        State("drawn-brush", "data"),
        prevent_initial_call=True,
    )
    told(here("reveal"), Output("revealed", "children"), Input("opened", "data"), prevent_initial_call=True)
    told(here("dismiss"), Output("problem-box", "hidden"), Input("dismiss", "n_clicks"), prevent_initial_call=True)
