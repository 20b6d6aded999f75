"""What the images show, read from the Matplotlib figure; and that they are files that others can read."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.collections import LineCollection, PathCollection
from PIL import Image
from plotly.subplots import make_subplots

from explorer.results.figures import fronts, layout, static
from explorer.results.figures.static import UnknownPart, drawing
from tests.explorer.frames import complete, frame_of, study

SHOWN = {"x": [1.0, 2.0, 4.0], "y": [0.5, 0.25, 0.75]}


def drawn(figure: Any) -> Any:
    """Return the only plot of a figure."""
    with drawing._settings(""):
        (axes,) = drawing._drawn(figure, 1000.0).axes
    return axes


def of(*traces: Any, **layout: Any) -> Any:
    return drawn(go.Figure(list(traces), layout=layout))


def points(axes: Any) -> list[list[float]]:
    """Return the positions of all markers."""
    parts = [part for part in axes.collections if isinstance(part, PathCollection)]
    return [spot for part in parts for spot in np.asarray(part.get_offsets()).tolist()]


def test_every_stack_of_a_front_is_a_marker_and_every_interval_a_bar() -> None:
    frame = study()
    axes = drawn(fronts.fronts(frame, "x", 1.5))
    measured = frame[frame["state"] == "complete"]
    found = {tuple(spot) for spot in points(axes)}
    assert found == set(zip(measured["latency_ms"], measured["accuracy"], strict=True))
    bars = [bar for part in axes.collections if isinstance(part, LineCollection) for bar in part.get_segments()]
    for end, column in enumerate(("latency_low_ms", "latency_high_ms")):
        assert sorted(float(bar[end][0]) for bar in bars) == pytest.approx(sorted(measured[column]))
    assert axes.get_xscale() == "log"
    (budget,) = [line for line in axes.lines if list(line.get_xdata()) == [1.5, 1.5]]
    assert budget.get_linestyle() == "--"
    (front,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert len(front.get_xdata()) == sum(fronts.with_standing(measured, ())["standing"] == layout.ON_FRONT)


def test_texts_ticks_and_legend_are_plotlys() -> None:
    plotly = fronts.fronts(frame_of(complete(0, 0.9, 1.0), complete(1, 0.95, 30.0, algorithm="gemm")), "a <b>", 2.0)
    with drawing._settings(""):
        figure = drawing._drawn(plotly, 1000.0)
    (axes,) = figure.axes
    assert axes.get_xlabel() == layout.LATENCY_TITLE
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "5", "10", "20"]
    assert all(text.get_text().endswith("%") for text in axes.get_yticklabels())
    entries = {
        legend.get_title().get_text(): [text.get_text() for text in legend.get_texts()] for legend in figure.legends
    }
    assert entries == {
        "Compression": ["none"],
        "Algorithm": ["direct", "gemm"],
        "Lines": ["Pareto front", "budget, 2 ms"],
    }
    title, *rest = figure.texts
    assert (title.get_text(), title.get_fontweight()) == ("a <b>: accuracy against latency", "bold")
    assert "".join(text.get_text() for text in rest).startswith("2 stacks measured · outlined: on the front")


def test_a_long_heading_is_folded_within_the_figure() -> None:
    words = " ".join(["word"] * 100)
    with drawing._settings(""):
        figure = drawing._drawn(
            go.Figure(go.Scatter(**SHOWN), layout={"title": {"text": f"<b>{words}</b> 95 %"}}), 600.0
        )
        assert len(figure.texts) > 2
        assert " ".join(" ".join(text.get_text() for text in figure.texts).split()) == f"{words} 95 %"
        assert max(text.get_window_extent().x1 for text in figure.texts) <= 600
        assert figure.axes[0].get_window_extent().y1 < min(text.get_window_extent().y0 for text in figure.texts)


def test_panels_share_their_scale_and_stand_where_plotly_has_them() -> None:
    plotly = fronts.fronts(study(("a", "b", "c")), "x")
    with drawing._settings(""):
        figure = drawing._drawn(plotly, 1100.0)
    first, second, third = figure.axes
    assert first.get_xlim() == second.get_xlim() == third.get_xlim()
    assert first.get_position().y0 == second.get_position().y0 > third.get_position().y1
    assert first.get_position().x1 < second.get_position().x0
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert notes == ["a", "b", "c"]


def test_names_stand_on_an_axis_in_their_order() -> None:
    plotly = go.Figure(go.Scatter(x=["b", "a", None, "b"], y=[1, 2, None, 3], mode="lines+markers"))
    plotly.update_xaxes(categoryorder="array", categoryarray=["a", "b"])
    axes = drawn(plotly)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b"]
    assert points(axes) == [[1, 1], [0, 2], [1, 3]]
    assert math.isnan(axes.lines[0].get_xdata()[2]), "a line ends at a gap"


def test_bars_stand_beside_or_upon_each_other() -> None:
    bars = [go.Bar(x=[1, 2], y=["p", "q"], orientation="h", name=name) for name in ("one", "two")]
    stacked = [patch.get_bbox().bounds for patch in of(*bars, barmode="stack").patches]
    assert [(left, wide) for left, _, wide, _ in stacked] == [(0, 1), (0, 2), (1, 1), (2, 2)]
    grouped = [patch.get_bbox().bounds for patch in of(*bars).patches]
    assert [left for left, *_ in grouped] == [0] * 4
    assert grouped[0][1] + grouped[0][3] == pytest.approx(grouped[2][1]), "side by side"
    upright = of(go.Bar(x=["p"], y=[3], text=["three"], error_y={"array": [0.5]}), yaxis={"autorange": "reversed"})
    assert upright.patches[0].get_height() == 3
    assert upright.texts[0].get_text().strip() == "three"
    assert upright.yaxis_inverted()


def test_heatmaps_and_boxes() -> None:
    cells = of(
        go.Heatmap(z=[[1, None], [3, 4]], x=["a", "b"], y=["c", "d"], text=[["1", ""], ["3", "4"]], showscale=False)
    )
    (mesh,) = (part for part in cells.collections if part.get_array() is not None)
    assert np.ma.filled(mesh.get_array(), -1).tolist() == [[1, -1], [3, 4]]
    assert [text.get_text() for text in cells.texts] == ["1", "", "3", "4"]
    boxes = of(go.Box(y=[1, 2, 3, 4, 5], name="one"), go.Box(y=[2, 3, 4], name="two"))
    assert [text.get_text() for text in boxes.get_xticklabels()] == ["one", "two"]
    assert any(list(line.get_ydata()) == [3, 3] for line in boxes.lines), "the median"


def test_axes_are_as_asked() -> None:
    axes = of(
        go.Scatter(**SHOWN),
        xaxis={"type": "log", "range": [-1, 1], "dtick": "D2"},
        yaxis={"range": [0, 1], "tickformat": ".0%"},
    )
    assert axes.get_xlim() == pytest.approx((0.1, 10))
    assert axes.get_ylim() == (0, 1)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2", "0.5", "1", "2", "5", "10"]
    assert "100%" in [text.get_text() for text in axes.get_yticklabels()]
    assert of(go.Scatter(**SHOWN), yaxis={"rangemode": "tozero"}).get_ylim()[0] == 0


def test_shapes_and_notes_lie_in_data_or_in_a_plot() -> None:
    plotly = make_subplots(1, 2)
    for column in (1, 2):
        plotly.add_trace(go.Scatter(**SHOWN), row=1, col=column)
    plotly.add_hline(0.6, row=1, col=2, line={"dash": "dot"})
    plotly.add_vrect(1, 2, row=1, col=1, fillcolor="rgba(0,0,0,0.1)", layer="below", line={"width": 0})
    plotly.add_annotation(x=2, y=0.25, text="<b>here</b>", row=1, col=1)
    with drawing._settings(""):
        panels: list[Any] = drawing._drawn(plotly, 1000.0).axes
    left, right = panels
    assert [list(line.get_ydata()) for line in right.lines if list(line.get_xdata()) == [0, 1]] == [[0.6, 0.6]]
    assert left.patches[0].get_bbox().bounds == (1, 0, 1, 1)
    assert [note.get_text() for note in left.texts] == ["here"]


@pytest.mark.parametrize(
    ("figure", "part"),
    [
        (go.Figure(go.Pie(values=[1])), "trace of type pie"),
        (go.Figure(go.Scatter(**SHOWN, mode="text", text="x")), "scatter with mode text"),
        (go.Figure(go.Scatter(**SHOWN, line={"shape": "spline"}, mode="lines")), "line of shape spline"),
        (go.Figure(go.Scatter(**SHOWN), layout={"xaxis": {"type": "date"}}), "axis of type date"),
        (go.Figure(go.Scatter(**SHOWN), layout={"shapes": [{"type": "circle", "x0": 1, "x1": 2, "y0": 0, "y1": 1}]}),
         "shape of type circle"),
    ],
)  # fmt: skip
def test_what_is_not_drawn_is_a_bug(figure: Any, part: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownPart, match=part):
        static.write(figure, tmp_path / "x.png")


def test_files_are_the_same_whatever_the_users_style(tmp_path: Path) -> None:
    plotly = go.Figure(go.Scatter(**SHOWN), layout={"title": {"text": "a title"}, "xaxis": {"title": "$x$"}})
    digests = set()
    for index in range(2):
        with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30} if index else {}):
            for ending in static.FORMATS:
                path = tmp_path / f"{index}.{ending}"
                static.write(plotly, path)
                digests.add((ending, hashlib.sha256(path.read_bytes()).hexdigest()))
    assert len(digests) == len(static.FORMATS)
    image = Image.open(tmp_path / "0.png")
    assert image.width == pytest.approx(2200, abs=60), "as broad as asked, the blank border cut off"
    assert len(image.convert("RGB").getcolors(2**20) or ()) > 100
    assert (tmp_path / "0.svg").read_text().startswith("<?xml")
    assert (tmp_path / "0.pdf").read_bytes().startswith(b"%PDF")
