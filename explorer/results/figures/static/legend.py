"""The traces of a Plotly figure → a Matplotlib legend, at the right or above, in the groups that Plotly shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from explorer.results.figures.static import looks, traces
from explorer.results.figures.static.looks import POINT, PX_PER_INCH

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

LEVEL_COLUMNS = 4  # of a legend above the plots
GROUP_GAP, LINE_GAP = 1.2, 0.5  # between two groups, and between two entries, over the size of the text


class Legends:
    """The legend of a figure: one of Matplotlib's for each group, as only a whole one has a title.

    Parameters
    ----------
    colours
        Of each trace, unless it names its own.
    font
        Size of the text in pixels.
    """

    def __init__(self, figure: Figure, plotly: Any, colours: Sequence[str], font: float) -> None:
        self._figure = figure
        self.level = plotly.layout.legend.orientation == "h"
        entries = [(trace, ink) for trace, ink in zip(plotly.data, colours, strict=True) if _has_entry(trace, plotly)]
        if plotly.layout.showlegend is False:
            entries = []
        groups = dict.fromkeys("" if self.level else trace.legendgroup for trace, _ in entries)
        self._legends = [
            self._draw([(trace, ink) for trace, ink in entries if self.level or trace.legendgroup == group], font)
            for group in groups
        ]
        boxes = [legend.get_window_extent() for legend in self._legends]
        self._heights = [box.height for box in boxes]
        self._gap = font * (GROUP_GAP if any(legend.get_title().get_text() for legend in self._legends) else LINE_GAP)
        self.width = max((box.width for box in boxes), default=0.0)
        self.height = sum(self._heights)

    def move(self, area: tuple[float, float, float, float], room: float) -> None:
        """Put it right of the plots, or above them.

        Parameters
        ----------
        area
            Left, bottom, width and height of the plots, in shares of the figure.
        room
            Pixels between the two.
        """
        wide, tall = (side * PX_PER_INCH for side in self._figure.get_size_inches())
        left, top = area[0] + (0 if self.level else area[2] + room / wide), area[1] + area[3]
        for legend, height in zip(self._legends, self._heights, strict=True):
            corner = left, top + ((room + height) / tall if self.level else 0)
            legend.set_bbox_to_anchor(corner, self._figure.transFigure)  # which holds when borders are cut off, too
            top -= (height + self._gap) / tall

    def _draw(self, entries: Sequence[tuple[Any, str]], font: float) -> Legend:
        columns = min(LEVEL_COLUMNS, len(entries)) if self.level else 1
        entries = [entry for column in range(columns) for entry in entries[column::columns]]  # to be read line by line
        titles = (trace.legendgrouptitle.text for trace, _ in entries)
        title = None if self.level else next((text for text in titles if text), None)
        legend = self._figure.legend(
            [_sample(trace, ink) for trace, ink in entries],
            [looks.plain(trace.name) for trace, _ in entries],
            loc="upper left",
            ncols=columns,
            title=looks.plain(title) or None,
            title_fontproperties={"weight": "bold", "size": font * POINT},
            alignment="left",
            frameon=False,
            fontsize=font * POINT,
            labelcolor=looks.TEXT,
            handlelength=2.8 if self.level else 1.8,  # in which a dash is seen beside a marker
            borderaxespad=0,
            borderpad=0,
            labelspacing=0.5,
        )
        legend.get_title().set_color(looks.TEXT)
        return legend


def _has_entry(trace: Any, plotly: Any) -> bool:
    """Tell whether Plotly would show a trace: a single unnamed one has no entry."""
    if trace.showlegend is not None:
        return bool(trace.showlegend and trace.name)
    return bool(trace.name) and (len(plotly.data) > 1 or bool(plotly.layout.showlegend)) and trace.type != "heatmap"


def _sample(trace: Any, ink: str) -> Artist:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if not trace.type.startswith("scatter"):
        own = trace.marker.color
        return Patch(facecolor=looks.colour(own if isinstance(own, str) else ink))
    marks, line = traces.markers_of(trace), traces.lines_of(trace)
    shape, scale, is_open = looks.symbol(looks.each(trace.marker.symbol, 1)[0] if marks else None)
    own = looks.each(trace.marker.color, 1, ink)[0]
    edge, wide = looks.each(trace.marker.line.color, 1)[0], looks.each(trace.marker.line.width, 1, 0)[0] or 0
    return Line2D(
        [],
        [],
        color=traces.line_colour(trace, ink),
        linestyle=looks.dash(trace.line.dash) if line else "none",
        linewidth=(trace.line.width or 2) * POINT,
        marker=shape if marks else "none",
        markersize=(looks.each(trace.marker.size, 1, 6)[0] or 6) * scale * POINT,
        markerfacecolor="none" if is_open else looks.colour(own),
        markeredgecolor=looks.colour(own if is_open or not wide else edge or "#444"),
        markeredgewidth=max(wide, 1.0 if is_open else 0.0) * POINT,
    )
