"""A snapshot → the legend of the fronts, as text beside colours and shapes, and what the looks of points mean."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from explorer.dashboard.state import Snapshot
from explorer.dashboard.theme import Theme
from explorer.dashboard.views.elements import aria
from explorer.results.figures.layout import TIED

# The figures' symbols as characters, so that a legend needs no figure.
CHARACTERS = {
    "circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "cross": "✚", "star": "★", "hexagon": "⬢"
}  # fmt: skip


def legend(snapshot: Snapshot, theme: Theme) -> list[Component]:
    """Return what colours and shapes stand for: compressions and algorithms."""
    if snapshot.measured.empty:
        return []
    colours = [
        html.Li([html.Span(className="swatch", style={"background": theme.colour(colour)}), name])
        for name, colour in snapshot.styles["compression"].items()
    ]
    shapes = [
        html.Li([html.Span(CHARACTERS[symbol], className="shape", **aria(hidden="true")), name])
        for name, symbol in snapshot.styles["algorithm"].items()
    ]
    ties = bool((snapshot.measured["standing"] == TIED).any())
    looks = "Outlined: on the front. " + ("Thinly outlined: cannot be told apart from it. " if ties else "")
    return [
        html.Ul([html.Li("Compression", className="head"), *colours]),
        html.Ul([html.Li("Algorithm", className="head"), *shapes]),
        html.P(f"{looks}Faint: dominated. Bars: 95 % interval of the median.", className="muted"),
    ]
