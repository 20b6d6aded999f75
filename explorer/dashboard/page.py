"""A snapshot, or nothing yet → the page's layout: a header, and a section each for fronts, stack, brush, and so on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from explorer.core.measurement.metric import ACCURACY
from explorer.dashboard.brush import axes
from explorer.dashboard.state import Snapshot
from explorer.dashboard.views import answer, brushes, progress, stacks
from explorer.dashboard.views.elements import aria
from explorer.results import readable

NEWS_MS = 2000  # between two looks at the records
SECTIONS = {"fronts": "Fronts", "stack": "Stack", "brush": "Brush", "stacks": "Stacks", "progress": "Progress"}
GRAPH: Any = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "autoScale2d", "toImage"],
    "showSendToCloud": False,  # a button that would upload the figure
    "plotlyServerURL": "",
    "scrollZoom": False,
}
PARALLEL: Any = {"displayModeBar": False, "responsive": True}


@dataclass(frozen=True)
class Start:
    """All that a page needs to draw its fronts without another question, of the snapshot that it begins with."""

    studies: list[str] = field(default_factory=list)
    snapshot: Snapshot | None = None

    @property
    def version(self) -> list[Any] | None:
        """The study's name and its version, which the page shows."""
        return None if self.snapshot is None else [self.snapshot.name, *self.snapshot.version]

    @property
    def device(self) -> str | None:
        """The device that is shown first."""
        return None if self.snapshot is None else self.snapshot.devices[0]

    @property
    def bounds(self) -> tuple[float, float, float]:
        """The slider's ends and its place; see `answer.bounds`."""
        return (self.snapshot and answer.bounds(self.snapshot, self.device)) or answer.NO_BOUNDS


def page(start: Start) -> Component:
    """Return the page as it begins; callbacks fill the rest."""
    return html.Div(
        [
            _stores(start),
            html.A("Skip to the fronts", href="#fronts", className="skip"),
            _header(start),
            html.Div(id="fault", role="status"),
            html.Div(
                [html.Div(id="problem"), html.Button("dismiss", id="dismiss", n_clicks=0)],
                id="problem-box", className="fault", role="alert", hidden=True,
            ),
            html.Main([_fronts(start), _stack(), _brush(start), _stacks(), _progress(start)]),
        ]
    )  # fmt: skip


def _stores(start: Start) -> Component:
    """Return what the page knows beside what it shows.

    ``version`` is [study, …] of what is shown, ``brushing`` what is brushed, ``drawn-brush`` what was when the front
    was drawn last, ``opened`` the numbers of the trials that are open and kept for comparison, ``turned`` the table's
    page, ``set-for`` the study and the device that the budget is of, and the rectangles are those that were drawn last
    over a figure.
    """
    set_for = "" if start.snapshot is None else f"{start.snapshot.name} {start.device}"
    data: dict[str, Any] = {
        "version": start.version,
        "theme": None,
        "brushing": {"parts": {}},
        "drawn-brush": {"parts": {}},
        "opened": {},
        "turned": 0,
    }
    data |= {"set-for": set_for, "front-rectangle": None, "parallel-rectangle": None}
    stores = [dcc.Store(id=name, data=value) for name, value in data.items()]
    return html.Div([*stores, dcc.Interval(id="news", interval=NEWS_MS), html.Div(id="revealed", hidden=True)])


def _header(start: Start) -> Component:
    links = [html.A(title, href=f"#{name}") for name, title in SECTIONS.items()]
    chosen = None if start.snapshot is None else start.snapshot.name
    study = dcc.Dropdown(start.studies, chosen, id="study", clearable=False, searchable=False, placeholder="none yet")
    strip = [] if start.snapshot is None else progress.strip(start.snapshot)
    button = html.Button("Dark or light", id="theme-button", n_clicks=0)
    return html.Header(
        [
            html.Div([html.H1("dlas-explorer"), html.Label("Study", htmlFor="study"), study, button], className="row"),
            html.Div(strip, id="strip", className="strip"),
            html.Nav(links, **aria(label="Parts of the page")),
        ]
    )


def _section(name: str, *content: Component) -> Component:
    heading = html.H2(SECTIONS[name], id=f"{name}-heading", tabIndex=-1)
    return html.Section([heading, *content], id=name, **aria(labelledby=f"{name}-heading"))


def _figure(name: str, config: Any) -> Component:
    """Return a figure in a box that keeps its height while the figure is being drawn."""
    return html.Div(dcc.Graph(id=name, config=config, responsive=True, style={"height": "100%"}), className=name)


def _fronts(start: Start) -> Component:
    graph = _figure("front", GRAPH)
    said = html.P("A click opens a stack; a rectangle drawn over stacks brushes by it.", className="muted")
    left = html.Div([graph, said, html.Div(id="legend", className="legend")])
    right = html.Aside([_budget(start), html.Div(id="answer", **aria(live="polite"))], className="answer")
    devices = dcc.RadioItems(device_options(start.snapshot), start.device, id="device", inline=True)
    return _section("fronts", devices, html.Div([left, right], className="beside"))


def device_options(snapshot: Snapshot | None) -> list[Any]:
    """Return the devices that one may choose from, emulated ones marked."""
    if snapshot is None:
        return []
    return [{"label": readable.device(name, name in snapshot.emulated), "value": name} for name in snapshot.devices]


def _budget(start: Start) -> Component:
    low, high, place = start.bounds
    number: Any = {"type": "number", "min": 0, "step": "any", "debounce": True}
    value = answer.budget(place) if start.snapshot is not None else None
    slider = dcc.Slider(
        id="place", min=low, max=high, step=answer.STEP, value=place, marks=None, updatemode="drag",
        allow_direct_input=False, tooltip={"always_visible": False, "transform": "milliseconds"},
    )  # fmt: skip
    metric = start.snapshot.opened.metric if start.snapshot is not None else ACCURACY
    number_of_metric = {**number, "max": 1} if metric.is_accuracy else number
    least = dcc.Input(id="least-accuracy", placeholder="none", **number_of_metric)
    return html.Div(
        [
            html.Label(["Budget (ms) ", dcc.Input(id="budget", value=value, **number)]),
            slider,
            html.Label([f"{'Least' if metric.maximised else 'Most'} {metric.name} ", least]),
        ],
        className="budget",
    )


def _stack() -> Component:
    number = dcc.Input(id="number", type="number", min=0, step=1, placeholder="number")
    return _section(
        "stack",
        html.Div(
            [
                html.Label(["Trial ", number]),
                html.Button("Open", id="open", n_clicks=0),
                html.Button("Keep for comparison", id="keep", n_clicks=0),
                html.Button("End the comparison", id="part", n_clicks=0),
            ],
            className="row",
        ),
        html.Div(id="kept", className="muted", role="status"),
        html.Div(id="panel"),
        html.Div(id="comparison"),
    )


def _brush(start: Start) -> Component:
    graph = _figure("parallel", PARALLEL)
    found = [] if start.snapshot is None else axes(start.snapshot.on(start.device))
    return _section(
        "brush",
        html.Div(
            [html.Span(id="brushed", role="status"), html.Button("Clear the brush", id="clear", n_clicks=0)],
            className="row",
        ),
        html.Div(graph, className="scroll", tabIndex=0, role="region", **aria(label="Parallel coordinates")),
        html.P("Drag along an axis to brush by it, or set the same below.", className="muted"),
        html.Div(brushes.controls(found, {}), id="controls", className="controls"),
    )


def _stacks() -> Component:
    return _section("stacks", stacks.controls(), html.Div(id="table"))


def _progress(start: Start) -> Component:
    return _section(
        "progress", html.Div([] if start.snapshot is None else progress.details(start.snapshot), id="details")
    )
