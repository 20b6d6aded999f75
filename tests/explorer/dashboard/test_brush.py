from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from explorer.dashboard.brush import GAP, Axis, Brush, Part, axes, inside, text, words
from explorer.dashboard.brushing import merged, nearly
from explorer.dashboard.state import Snapshot
from tests.explorer.frames import study

FRAME = study()
MEASURED = FRAME[FRAME["state"] == "complete"]
FOUND = {axis.name: axis for axis in axes(MEASURED)}


@st.composite
def brushes(draw: st.DrawFn) -> Brush:
    """Draw a brush by some of the axes of `MEASURED`."""
    parts: dict[str, Part] = {}
    for axis in draw(st.lists(st.sampled_from(list(FOUND.values())), unique_by=lambda axis: axis.name)):
        if axis.choices:
            parts[axis.name] = {"choices": draw(st.lists(st.sampled_from(axis.choices), min_size=1, unique=True))}
        else:
            ends = st.floats(axis.least * 0.9, axis.most * 1.1)
            parts[axis.name] = draw(st.fixed_dictionaries({}, optional={"least": ends, "most": ends}))  # type: ignore[assignment]
    return parts


def test_only_what_differs_can_be_brushed() -> None:
    assert "dataset" not in FOUND
    assert FOUND["algorithm"].choices == ["direct", "gemm", "spatial_pack"]
    assert FOUND["ratio"].choices == [GAP, "0.5", "0.75"], "stacks without a ratio have a place, too"
    assert FOUND["latency_ms"] == Axis("latency_ms", (), MEASURED["latency_ms"].min(), MEASURED["latency_ms"].max())
    assert axes(MEASURED.iloc[:0]) == []


def test_an_axis_of_many_numbers_has_ends(snapshot: Snapshot) -> None:
    found = {axis.name: axis for axis in axes(snapshot.on("local"))}
    assert not found["ratio"].choices
    assert found["ratio"].most <= 0.95


@given(brushes())
def test_a_stack_is_in_the_brush_where_all_its_parts_hold_it(brush: Brush) -> None:
    kept = inside(MEASURED, brush)
    for index, row in MEASURED.iterrows():
        holds = [
            (not part.get("choices") or text(row[name]) in part["choices"])
            and part.get("least", -1.0) <= (row[name] if "choices" not in part else 0)
            and (row[name] if "choices" not in part else 0) <= part.get("most", 1e12)
            for name, part in brush.items()
        ]
        assert kept[index] == all(holds)  # type: ignore[call-overload]


def test_a_brush_of_an_axis_that_is_gone_holds_everything() -> None:
    assert inside(MEASURED, {"peak_memory_bytes": {"least": 1e9}}).all()


def test_a_gap_can_be_brushed() -> None:
    kept = MEASURED[inside(MEASURED, {"ratio": {"choices": [GAP]}})]
    assert set(kept["compression"]) == {"none"}


def test_the_brush_in_words() -> None:
    brush: Brush = {"algorithm": {"choices": ["gemm", "direct"]}, "latency_ms": {"least": 0.5, "most": 2.0}}
    assert words(brush) == "algorithm gemm or direct, latency_ms at least 0.5 and at most 2"
    assert words({}) == ""


@given(brushes())
def test_fields_show_fewer_digits_than_a_gesture_brushes(brush: Brush) -> None:
    rounded = {
        name: {end: value if isinstance(value, list) else float(f"{value:.6g}") for end, value in part.items()}
        for name, part in brush.items()
    }
    assert nearly(brush, rounded)  # type: ignore[arg-type]
    assert not nearly({**brush, "width": {"choices": ["0.1"]}}, brush)


def test_an_empty_part_takes_an_axis_out_of_the_brush() -> None:
    old: Brush = {"algorithm": {"choices": ["gemm"]}, "threads": {"choices": ["1"]}}
    assert merged(old, {"algorithm": {}, "width": {"least": 0.5}}) == {
        "threads": {"choices": ["1"]},
        "width": {"least": 0.5},
    }


def test_numbers_are_said_as_they_are_written() -> None:
    assert [text(value) for value in (0.25, 8.0, 1, "vector", None, float("nan"))] == [
        "0.25", "8", "1", "vector", GAP, GAP
    ]  # fmt: skip
    assert text(pd.Series([4])[0]) == "4"
