"""The fronts and the parallel coordinates, as figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.dashboard.brush import Axis, axes, inside
from explorer.dashboard.brushing import clicked, framed
from explorer.dashboard.state import Snapshot
from explorer.dashboard.theme import DARK, LIGHT, theme
from explorer.dashboard.views import fronts, parallel
from explorer.results.figures.layout import COLOURS, ON_FRONT, SYMBOLS

GEMM = {"algorithm": {"choices": ["gemm"]}}
CHOICES = Axis("algorithm", ["direct", "gemm", "winograd"])
NUMBERS = Axis("latency_ms", (), 0.05, 20.0)
WIDTHS = Axis("width", (), 0.1, 0.9)


def rectangle(x: tuple[float, float], y: tuple[float, float]) -> dict[str, object]:
    """Return what Plotly tells of a rectangle that was drawn."""
    return {"selections": [{"type": "rect", "x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}]}


@pytest.mark.parametrize("brush", [{}, GEMM, {"latency_ms": {"most": 0.0}}], ids=["none", "gemm", "nothing"])
def test_every_stack_of_the_device_is_drawn_once(snapshot: Snapshot, brush: dict[str, object]) -> None:
    rows = snapshot.on("local")
    drawn = fronts.figure(snapshot, "local", brush, 1.0, LIGHT)  # type: ignore[arg-type]
    numbers = [number for trace in drawn.data if trace.mode == "markers" for number in trace.customdata]
    assert sorted(numbers) == sorted(rows["number"])
    aside = [number for trace in drawn.data if trace.name == "outside of the brush" for number in trace.customdata]
    assert sorted(aside) == sorted(rows[~inside(rows, brush)]["number"])  # type: ignore[arg-type]


def test_the_front_has_intervals_and_texts_and_the_others_a_text_between_them(snapshot: Snapshot) -> None:
    rows = snapshot.on("local")
    drawn = fronts.figure(snapshot, "local", {}, 1.0, LIGHT)
    near = [trace for trace in drawn.data if trace.error_x.array is not None]
    assert sum(len(trace.x) for trace in near) >= (rows["standing"] == ON_FRONT).sum()
    assert all("95 % interval" in text for trace in near for text in trace.text)
    (many,) = (trace for trace in drawn.data if trace.name == "dominated")
    assert many.text is None
    assert many.hovertemplate == fronts.FEW


def test_the_budget_is_a_line(snapshot: Snapshot) -> None:
    (line,) = fronts.figure(snapshot, "local", {}, 1.5, LIGHT).layout.shapes
    assert (line.x0, line.x1) == (1.5, 1.5)
    assert fronts.budget_shapes(None, LIGHT) == []


def test_every_symbol_has_its_number_and_every_colour_is_seen_in_the_dark() -> None:
    from plotly.validator_cache import ValidatorCache

    values = ValidatorCache.get_validator("scatter.marker", "symbol").values  # number, its text, its name, and so on
    for name, number in fronts.SYMBOLS.items():
        assert values[values.index(number) + 2] == name
    assert set(fronts.SYMBOLS) == set(SYMBOLS)
    for look, page in ((LIGHT, "#ffffff"), (DARK, "#171d25")):
        for colour in COLOURS:
            assert contrast(look.colour(colour), page) > 1.9, colour
        assert contrast(look.text, page) > 7
        assert contrast(look.muted, page) > 4.5
    assert theme(None) is LIGHT


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as the Web Content Accessibility Guidelines 2 define it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_shades_of_accuracy_differ_in_lightness_alone() -> None:
    for look in (LIGHT, DARK):
        shades = [look.shade(share) for share in (0, 0.25, 0.5, 0.75, 1)]
        assert (shades[0], shades[-1]) == (look.low, look.high)
        against = [contrast(shade, look.surface) for shade in shades]
        assert against == sorted(against), "the more accurate, the stronger"


def test_every_line_is_drawn_once_in_the_shade_of_its_most_accurate_stack(snapshot: Snapshot) -> None:
    rows = snapshot.on("local")
    found = axes(rows)
    drawn = parallel.figure(snapshot, "local", GEMM, LIGHT)  # type: ignore[arg-type]
    segments = [segment for trace in drawn.data[1:] for segment in lines(trace)]
    assert len(segments) == len(set(segments))
    places, kept = parallel._places(rows, found), inside(rows, GEMM).to_numpy()  # type: ignore[arg-type]
    wanted = {
        (index, round(row[index], 6), round(row[index + 1], 6))
        for row in places[kept]
        for index in range(len(found) - 1)
    }
    assert set(segments) == wanted
    most = max(range(len(rows)), key=lambda index: (kept[index], rows["accuracy"].iloc[index]))
    best = {
        (index, round(places[most][index], 6), round(places[most][index + 1], 6)) for index in range(len(found) - 1)
    }
    shade = parallel._shades(rows)[most]
    assert best <= set(lines(drawn.data[1 + shade])), "the most accurate stack's line is whole in its shade"


def lines(trace: object) -> list[tuple[int, float, float]]:
    """Return the lines of a trace: their left axis, and where they begin and end."""
    x, y = (np.asarray(getattr(trace, axis), dtype=float).reshape(-1, 3) for axis in "xy")
    return [(int(a[0]), round(b[0], 6), round(b[1], 6)) for a, b in zip(x, y, strict=True)]


@given(st.floats(0.01, 0.98), st.floats(0.01, 0.98), st.sampled_from([NUMBERS, WIDTHS]))
def test_a_rectangle_over_a_number_brushes_what_its_marks_show(one: float, other: float, axis: Axis) -> None:
    low, high = sorted((one, other))
    part = parallel.selected([CHOICES, axis], rectangle((0.8, 1.2), (low, high)))[axis.name]
    assert axis.least <= part["least"] <= part["most"] <= axis.most
    assert parallel.spans(axis, part)[0] == pytest.approx((low, high))


@given(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))
def test_a_rectangle_over_choices_brushes_those_under_it(one: float, other: float) -> None:
    low, high = sorted((one, other))
    part = parallel.selected([CHOICES], rectangle((-0.2, 0.2), (low, high))).get("algorithm", {})
    under = [
        choice for choice, place in zip(CHOICES.choices, (1 / 6, 3 / 6, 5 / 6), strict=True) if low <= place <= high
    ]
    assert part.get("choices", []) == under


def test_a_rectangle_brushes_all_axes_that_it_covers_and_else_the_nearest() -> None:
    found = [CHOICES, NUMBERS, WIDTHS]
    assert set(parallel.selected(found, rectangle((0.5, 2.5), (0.2, 0.8)))) == {"latency_ms", "width"}
    assert set(parallel.selected(found, rectangle((1.6, 1.7), (0.2, 0.8)))) == {"width"}
    others: list[Any] = [None, {}, {"autosize": True}, {"selections": []}, {"selections": [{"type": "path"}]}]
    for nothing in others:
        assert parallel.selected(found, nothing) == {}
        assert framed(nothing, "accuracy") == {}


def test_a_rectangle_over_the_front_brushes_by_both_its_axes() -> None:
    assert framed(rectangle((2.0, 0.5), (0.9, 0.95)), "accuracy") == {
        "latency_ms": {"least": 0.5, "most": 2.0},
        "accuracy": {"least": 0.9, "most": 0.95},
    }


def test_a_click_on_the_front_line_opens_nothing() -> None:
    assert clicked({"points": [{"customdata": 7}]}) == 7
    assert clicked({"points": [{"x": 1}]}) is None
    assert clicked(None) is None
