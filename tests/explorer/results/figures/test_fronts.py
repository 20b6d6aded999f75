from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from explorer.fronts import certainty, pareto
from explorer.fronts.knee import axes
from explorer.results import readable
from explorer.results.answers import best_stack
from explorer.results.figures import fronts, page
from explorer.results.figures.layout import LOOKS, ON_FRONT, TIED
from explorer.space.limits import Limit
from tests.explorer.frames import complete, disturbed, emulated, failed, frame_of, study


def points(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.mode == "markers" and trace.text]


def with_look(drawn: list[Any], standing: str) -> list[Any]:
    """Return the traces whose points look as those of stacks that stand so."""
    look = LOOKS[standing]
    return [
        trace
        for trace in drawn
        if (trace.opacity, trace.marker.size, trace.marker.line.color, trace.marker.line.width) == look
    ]


def test_every_measured_stack_is_a_point_and_the_front_is_outlined() -> None:
    frame = study(("local", "board"))
    drawn = points(fronts.fronts(frame, "x"))
    assert sum(len(trace.x) for trace in drawn) == (frame["state"] == "complete").sum()
    outlined = {(x, y) for trace in with_look(drawn, ON_FRONT) for x, y in zip(trace.x, trace.y, strict=True)}
    front = pareto.front(frame, axes(frame))
    assert outlined == set(zip(front["latency_ms"], front["accuracy"], strict=True))


def test_the_front_is_of_stacks_that_keep_the_limits() -> None:
    frame = frame_of(complete(0, 0.99, 9.0), complete(1, 0.9, 2.0), complete(2, 0.8, 3.0))
    figure = fronts.fronts(frame, "x", limits=[Limit("latency_ms", "<=", 5.0)])
    drawn = points(figure)
    assert {x for trace in drawn if trace.opacity == 1 for x in trace.x} == set(figure.data[0].x) == {2.0}
    standings = {text.partition("</b>, ")[2].partition("<")[0] for trace in drawn for text in trace.text}
    assert standings == {"on the front", "dominated", "beyond a limit"}
    assert "3 stacks measured, 2 within the limits latency_ms &lt;= 5" in figure.layout.title.text
    assert len(fronts.fronts(frame, "x", limits=[Limit("latency_ms", "<=", 1.0)]).data[0].x) == 0


def test_a_stack_that_ties_with_the_front_has_its_own_look_and_says_how_likely_it_is_there() -> None:
    frame = frame_of(complete(0, 0.9, 1.0), complete(1, 0.89, 1.01), complete(2, 0.8, 2.0))
    figure = fronts.fronts(frame, "x")
    (tied,) = with_look(points(figure), TIED)
    probability = certainty.front_probabilities(frame, axes(frame))[1]
    assert list(tied.x) == [1.01]
    assert 0.1 < probability < 0.9
    assert (
        f"trial 1</b>, cannot be told apart from the front (on it with {100 * probability:.0f} %)<br>" in tied.text[0]
    )
    assert list(figure.data[0].x) == [1.0]
    assert "thinly outlined: cannot be told apart from the front" in figure.layout.title.text
    beyond = fronts.fronts(frame, "x", limits=[Limit("latency_ms", "<=", 0.995)])  # which both may keep
    assert sorted(x for trace in with_look(points(beyond), TIED) for x in trace.x) == [1.0, 1.01]
    assert "thinly outlined" not in fronts.fronts(frame.iloc[[0, 2]], "x").layout.title.text


def test_the_front_of_an_emulated_device_is_marked() -> None:
    def titles(frame: pd.DataFrame) -> list[str]:
        return [note.text for note in fronts.fronts(frame, "x").layout.annotations]

    assert titles(emulated(study(("arm", "local")), "arm")) == ["arm (emulated)", "local"]
    assert titles(emulated(study(("arm",)), "arm")) == ["arm (emulated)"]
    assert titles(study()) == []
    marked = best_stack.stack_of(emulated(study(), "local").iloc[0])
    assert readable.EMULATED in fronts.hover(marked, 1.0, ON_FRONT)


def test_hovering_tells_why_a_latency_is_disturbed() -> None:
    frame = disturbed(frame_of(complete(0, 0.9, 2.0), complete(1, 0.8, 1.0)), 1, "3 sessions <lost> time")
    (trace,) = points(fronts.fronts(frame, "x"))
    texts = dict(zip(trace.x, trace.text, strict=True))
    assert "disturbed: 3 sessions &lt;lost&gt; time" in texts[1.0]
    assert "disturbed" not in texts[2.0]


def test_the_bars_are_the_interval() -> None:
    (trace,) = points(fronts.fronts(frame_of(complete(0, 0.9, 2.0)), "x"))
    assert trace.x[0] + trace.error_x.array[0] == pytest.approx(2.1)
    assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(1.96)


def test_hovering_shows_the_whole_stack() -> None:
    frame = frame_of(complete(7, 0.9, 2.0, 1_234_567, compression="weight_pruning", ratio=0.5, model="my.net:<b>"))
    (trace,) = points(fronts.fronts(frame, "x"))
    text = trace.text[0]
    for part in (
        "trial 7",
        "2.000 ms",
        "90.00%",
        "test 89.00%",
        "1.23 MB",
        "weight_pruning, ratio 0.5",
        "device local",
    ):
        assert part in text
    assert "my.net:&lt;b&gt;" in text


def test_the_front_is_a_staircase_of_what_is_reached() -> None:
    figure = fronts.fronts(study(), "x")
    line = figure.data[0]
    assert line.line.shape == "hv"
    assert list(line.x) == sorted(line.x)
    assert list(line.y) == sorted(line.y)


def test_the_knee_has_a_ring_and_an_entry_in_the_legend() -> None:
    def ring(figure: Any) -> list[tuple[float, float]]:
        rings = [trace for trace in figure.data if trace.marker.symbol == "circle-open" and trace.name is None]
        return [spot for trace in rings for spot in zip(trace.x, trace.y, strict=True)]

    bent = fronts.fronts(frame_of(complete(0, 0.5, 1.0), complete(1, 0.9, 2.0), complete(2, 0.91, 100.0)), "x")
    assert ring(bent) == [(2.0, 0.9)]
    assert "its knee" in [trace.name for trace in bent.data]
    straight = fronts.fronts(frame_of(complete(0, 0.5, 1.0), complete(1, 0.9, 2.0)), "x")
    assert ring(straight) == []
    assert "its knee" not in [trace.name for trace in straight.data]


def test_the_budget_is_a_line_on_every_device() -> None:
    figure = fronts.fronts(study(("local", "board")), "x", budget_ms=1.5)
    lines = [shape for shape in figure.layout.shapes if shape.x0 == shape.x1 == 1.5]
    assert len({line.xref for line in lines}) == 2
    assert not fronts.fronts(study(), "x").layout.shapes


def test_failures_are_counted_in_the_title() -> None:
    assert "34 stacks measured, 2 failed" in fronts.fronts(study(), "x").layout.title.text


def test_the_page_is_whole_without_a_network(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.html"
    page.write([fronts.fronts(study(), "x"), fronts.fronts(study(), "below")], path)
    written = path.read_text()
    assert 1_000_000 < len(written) < 9_000_000  # Plotly itself, once
    assert written.count("Plotly.newPlot(") >= 2
    assert written.index("x: accuracy against latency") < written.index("below: accuracy against latency")
    assert not re.search(r"<(script|link)[^>]+(src|href)=", written)


@pytest.mark.parametrize("frame", [pd.DataFrame(), frame_of(failed(0))])
def test_a_study_without_a_complete_trial_says_so(frame: pd.DataFrame) -> None:
    assert "no trial is complete yet" in [note.text for note in fronts.fronts(frame, "x").layout.annotations]
