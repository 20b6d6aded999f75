"""Lines across devices: one for each stack that was measured on at least two, and markers where it is on the front."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given

from explorer.fronts import pareto
from explorer.fronts.knee import axes
from explorer.results.across_devices.lines import ELSEWHERE_PX, lines, measured_on_several
from explorer.results.across_devices.same_stack import stack_ids
from explorer.results.figures.layout import LOOKS, ON_FRONT
from explorer.space.limits import Limit
from tests.explorer.frames import complete, emulated, failed, frame_of, study
from tests.explorer.results.across_devices.drawn import frames
from tests.explorer.results.across_devices.test_comparison import FRAME


def drawn(trace: Any) -> list[dict[str, float]]:
    """Return each line of a trace as device → latency; a gap ends a line."""
    found: list[dict[str, float]] = [{}]
    for device, latency in zip(trace.x, trace.y, strict=True):
        if device is None:
            found.append({})
        else:
            found[-1][device] = latency
    assert found.pop() == {}
    return found


def traces(frame: pd.DataFrame, *limits: Limit) -> list[Any]:
    """Return the traces with lines: first that of the faint ones."""
    figure = lines(frame, "x", limits=limits)
    assert figure is not None
    return [trace for trace in figure.data if len(trace.x) != 1 or trace.x[0] is not None]


@given(frames())
def test_every_stack_measured_on_two_devices_is_one_line(frame: pd.DataFrame) -> None:
    complete_rows = frame[frame["state"] == "complete"]
    each = complete_rows.groupby(stack_ids(complete_rows))
    expected = [dict(zip(rows["device"], rows["latency_ms"], strict=True)) for _, rows in each if len(rows) > 1]
    if not expected:
        assert lines(frame, "x") is None
        return
    found = [line for trace in traces(frame) for line in drawn(trace)]
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_an_emulated_device_is_marked() -> None:
    *_, bright = traces(emulated(FRAME, "little"))
    assert {*bright.x} == {"big", "little (emulated)", None}
    assert "little (emulated) 6.000 ms" in "".join(bright.text)


def test_the_stacks_on_a_front_are_coloured_and_the_others_faint() -> None:
    dominated = [complete(7, 0.5, 9.0, threads=4, device=device) for device in ("big", "little")]
    frame = pd.concat([FRAME, frame_of(*dominated)], ignore_index=True)
    faint, bright = traces(frame)
    assert drawn(faint) == [{"big": 9.0, "little": 9.0}]
    assert drawn(bright) == [{"big": 1.0, "little": 6.0}, {"big": 2.0, "little": 4.0}]
    assert faint.hoverinfo == "skip"
    assert bright.marker.color != faint.line.color


def test_a_stack_is_outlined_on_the_devices_whose_front_it_is_on() -> None:
    *_, bright = traces(FRAME)
    best = LOOKS[ON_FRONT]
    assert list(bright.marker.size) == [best.size, ELSEWHERE_PX, 0, ELSEWHERE_PX, best.size, 0]
    assert list(bright.marker.line.width) == [best.outline_width, 0, 0, 0, best.outline_width, 0]


def test_hovering_tells_the_stack_and_its_latency_everywhere() -> None:
    *_, bright = traces(FRAME)
    assert "trial 3</b>, dominated" in bright.text[1]
    assert bright.text[1].endswith("<b>everywhere</b>  big 1.000 ms, little 6.000 ms")
    assert bright.error_y.array[0] == pytest.approx(0.05)
    assert bright.error_y.arrayminus[0] == pytest.approx(0.02)


def test_a_stack_beyond_a_limit_is_on_no_front() -> None:
    frame = study(("local", "board"))
    limit = Limit("latency_ms", "<=", 0.3)
    found = measured_on_several(frame, [limit])
    front = found[found["standing"] == ON_FRONT]
    assert set(front["number"]) <= set(pareto.front(frame, axes(frame), [limit])["number"])
    assert (front["latency_ms"] <= 0.3).all()


def test_the_axes_are_the_devices_and_a_logarithm_and_the_budget_a_line() -> None:
    figure = lines(study(("local", "b<o>ard")), "a <b>", budget_ms=1.5)
    assert figure is not None
    assert list(figure.layout.xaxis.categoryarray) == ["b&lt;o&gt;ard", "local"]
    assert figure.layout.yaxis.type == "log"
    (budget,) = figure.layout.shapes
    assert budget.y0 == budget.y1 == 1.5
    assert "a &lt;b&gt;: the same stacks across devices" in figure.layout.title.text
    assert "34 stacks measured on several devices" in figure.layout.title.text


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        frame_of(failed(0), failed(1, device="board")),
        study(),
        frame_of(complete(0, 0.9, 1.0), complete(1, 0.9, 1.0, threads=2, device="board")),
    ],
)
def test_without_a_stack_on_two_devices_there_is_no_such_figure(frame: pd.DataFrame) -> None:
    assert lines(frame, "x") is None
