"""Dark or light → the colours of figures; those of all else are in ``assets/dashboard.css``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
BLACK = "#000000"  # the one colour of the figures' palette that a dark page swallows


@dataclass(frozen=True)
class Theme:
    """The colours of figures.

    Parameters
    ----------
    text, muted, line, surface
        Of text, of what stands back, of the grid, and of what lies below.
    front, aside
        Of the front's line, and of stacks outside of the brush.
    low, high
        The ends of the scale by accuracy in parallel coordinates: one hue, told apart by lightness alone.
    faint
        Opacity of dominated stacks.
    """

    text: str
    muted: str
    line: str
    surface: str
    front: str
    aside: str
    low: str
    high: str
    faint: float

    def colour(self, colour: str) -> str:
        """Return a colour of the figures' palette as it can be seen on this page."""
        return self.text if colour == BLACK else colour

    def shade(self, share: float) -> str:
        """Return the colour at a share of the scale from `low` to `high`."""
        ends = [[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in (self.low, self.high)]
        mixed = (round(low + share * (high - low)) for low, high in zip(*ends, strict=True))
        return "#" + "".join(f"{part:02x}" for part in mixed)

    def layout(self) -> dict[str, Any]:
        """Return the part of a figure's layout that all figures have in common."""
        return {
            "template": "none",
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "size": 13, "color": self.text},
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": self.surface, "bordercolor": self.muted, "align": "left",
                "font": {"size": 12, "color": self.text, "family": FONT},
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": self.muted, "activecolor": self.text},
        }  # fmt: skip

    def axis(self) -> dict[str, Any]:
        """Return the look of an axis."""
        return {
            "showline": True, "linecolor": self.muted, "ticks": "outside", "tickcolor": self.muted,
            "gridcolor": self.line, "zeroline": False, "automargin": True,
        }  # fmt: skip


LIGHT = Theme("#1b2430", "#5b6775", "#e4e8ee", "#ffffff", "#3b4654", "#8a95a3", "#b7cfe8", "#08306b", 0.45)
DARK = Theme("#e8edf3", "#a3b0bf", "#2b3440", "#171d25", "#c3ccd8", "#76828f", "#34506f", "#cfe6ff", 0.6)
THEMES: Mapping[str, Theme] = {"light": LIGHT, "dark": DARK}


def theme(name: str | None) -> Theme:
    """Return the theme of a name that the page sends; the light one for anything else."""
    return THEMES.get(name or "", LIGHT)
