"""Plain values → the few elements that all parts of the page are made of: tables, facts, buttons, notes."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

Shown = str | Component | None  # what a cell or a line may hold


def aria(**attributes: str) -> dict[str, Any]:
    """Return attributes for those who do not see the page, as arguments of an element."""
    return {f"aria-{name}": value for name, value in attributes.items()}


def table(heads: Sequence[str], rows: Iterable[Sequence[Shown]], caption: str, numeric: Iterable[int] = ()) -> html.Div:
    """Return a table that scrolls sideways where it is too wide; `numeric` are the columns aligned to the right."""
    right = set(numeric)

    def style(index: int) -> str:
        return "number" if index in right else ""

    head = html.Thead(html.Tr([html.Th(text, scope="col", className=style(i)) for i, text in enumerate(heads)]))
    body = html.Tbody([html.Tr([html.Td(cell, className=style(i)) for i, cell in enumerate(row)]) for row in rows])
    # A region that scrolls takes the focus, so that the arrow keys scroll it.
    return html.Div(
        html.Table([html.Caption(caption, className="unseen"), head, body]),
        className="scroll",
        tabIndex=0,
        role="region",
        **aria(label=caption),
    )


def facts(pairs: Iterable[tuple[str, Shown | list[Shown]]]) -> html.Dl:
    """Return names and what they are, a line each."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs], className="facts")


def open_button(number: int, text: str | None = None) -> html.Button:
    """Return the button that opens a trial."""
    label = f"open trial {number}"
    return html.Button(
        text or str(number),
        id={"type": "open", "number": number},
        n_clicks=0,
        className="link",
        **aria(label=label),
    )


def note(text: str) -> html.P:
    """Return a sentence on what is not there, or not known."""
    return html.P(text, className="muted")


def fault(text: str) -> html.Div:
    """Return what went wrong, in the place where the page would have shown what it asked for."""
    return html.Div([html.Span("⚠ ", **aria(hidden="true")), text], className="fault", role="alert")


def duration(seconds: float) -> str:
    """Return a time for people: ``"8.1 s"``, ``"12 min 5 s"``, ``"3 h 20 min"``.

    >>> duration(725)
    '12 min 5 s'
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def moment(time: datetime.datetime) -> html.Time:
    """Return a time in the zone of this machine."""
    return html.Time(f"{time.astimezone():%Y-%m-%d %H:%M:%S}", dateTime=time.isoformat())
