"""Shapes and annotations of a Plotly figure → lines, rectangles and texts on a Matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.results.figures.static import looks
from explorer.results.figures.static.looks import POINT, UnknownPart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

    from explorer.results.figures.static.axes import Axis

Area = tuple[float, float, float, float]  # left, bottom, width and height of all plots, in shares of the figure
Panel = tuple["Axes", "Axis", "Axis"]
DOMAIN = " domain"  # after the name of an axis: shares of its length


class Marks:
    """Draws what lies over or under the traces.

    Parameters
    ----------
    panels
        Name of a horizontal axis and of a vertical one, such as ``("x2", "y2")`` → where they are drawn.
    area
        What ``paper`` means.
    """

    def __init__(self, figure: Figure, panels: Mapping[tuple[str, str], Panel], area: Area) -> None:
        self._figure, self._panels, self._area = figure, panels, area

    def shape(self, shape: Any) -> None:
        """Draw a line or a rectangle."""
        from matplotlib.patches import Rectangle

        axes, transform = self._where(shape)
        (left, right), (low, high) = self._ends(shape)
        line = {"color": looks.colour(shape.line.color or "#444"), "linestyle": looks.dash(shape.line.dash)}
        width = (2 if shape.line.width is None else shape.line.width) * POINT
        order = 0.5 if shape.layer == "below" else 50
        if shape.type == "line":
            axes.plot(
                [left, right], [low, high], transform=transform, linewidth=width, zorder=order, scalex=False,
                scaley=False, **line,
            )  # fmt: skip
        elif shape.type == "rect":
            fill = looks.colour(shape.fillcolor or "none")
            edge = looks.colour(shape.line.color or "none") if width else "none"
            corner, size = (left, low), (right - left, high - low)
            alpha = shape.opacity
            axes.add_patch(
                Rectangle(corner, *size, transform=transform, facecolor=fill, edgecolor=edge, alpha=alpha, zorder=order)
            )
        else:
            raise UnknownPart(f"shape of type {shape.type}")

    def annotation(self, note: Any, font: float) -> None:
        """Draw a text, with a line to what it is about where it has an arrow."""
        size = (note.font.size or font) * POINT
        style = {
            "fontsize": size,
            "color": looks.colour(note.font.color or looks.TEXT),
            "ha": {"auto": "center", None: "center"}.get(note.xanchor, note.xanchor),
            "va": {"auto": "center", None: "center", "middle": "center"}.get(note.yanchor, note.yanchor),
            "rotation": -(note.textangle or 0),
        }
        text = looks.plain(note.text)
        axes, transform = self._where(note)
        x, y = self._at(note, "x", note.x), self._at(note, "y", note.y)
        if note.showarrow is False:
            shift = ((note.xshift or 0) * POINT, (note.yshift or 0) * POINT)
        else:
            shift = ((note.ax or 0) * POINT, -(-30 if note.ay is None else note.ay) * POINT)
        arrow = {"arrowstyle": "-", "color": "#444", "linewidth": 1.0} if note.showarrow is not False else None
        axes.annotate(
            text, (x, y), xycoords=transform, xytext=shift, textcoords="offset points", arrowprops=arrow,
            annotation_clip=False, zorder=60, **style,
        )  # fmt: skip

    def _ends(self, shape: Any) -> tuple[tuple[float, float], tuple[float, float]]:
        left, right = (self._at(shape, "x", value) for value in (shape.x0, shape.x1))
        low, high = (self._at(shape, "y", value) for value in (shape.y0, shape.y1))
        return (left, right), (low, high)

    def _at(self, mark: Any, letter: str, value: Any) -> float:
        """Return a position of a mark: in data, or in shares of the panel or of the paper."""
        reference = getattr(mark, f"{letter}ref") or "paper"
        if reference == "paper":
            first, size = (self._area[0], self._area[2]) if letter == "x" else (self._area[1], self._area[3])
            return first + float(0.5 if value is None else value) * size
        if reference.endswith(DOMAIN):
            return float(value)
        _, across, along = self._panel(mark)
        return (across if letter == "x" else along).at([value])[0]

    def _panel(self, mark: Any) -> Panel:
        names = [(getattr(mark, f"{letter}ref") or "paper").removesuffix(DOMAIN) for letter in ("x", "y")]
        for (x, y), panel in self._panels.items():
            if names[0] in (x, "paper") and names[1] in (y, "paper"):
                return panel
        raise UnknownPart(f"mark on axes {names[0]} and {names[1]}")

    def _where(self, mark: Any) -> tuple[Any, Transform]:
        """Return what to draw a mark on, and how its positions are meant."""
        from matplotlib.transforms import blended_transform_factory

        if not self._panels:
            return _OnFigure(self._figure), self._figure.transFigure
        axes = self._panel(mark)[0]
        parts = []
        for letter in ("x", "y"):
            reference = getattr(mark, f"{letter}ref") or "paper"
            whole = self._figure.transFigure if reference == "paper" else None
            parts.append(whole or (axes.transAxes if reference.endswith(DOMAIN) else axes.transData))
        return axes, blended_transform_factory(*parts)


class _OnFigure:
    """Stands for axes where a figure has none."""

    def __init__(self, figure: Figure) -> None:
        self._axes = figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._axes, name)
