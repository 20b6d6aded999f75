from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.fronts import pareto
from explorer.fronts.knee import axes, knees
from tests.explorer.frames import complete, failed, frame_of, study

POINTS = st.lists(st.tuples(st.integers(0, 1000), st.floats(0.01, 1000)), min_size=1, max_size=30)


def frame(*points: tuple[float, float], device: str = "local") -> pd.DataFrame:
    """Return complete trials of these accuracies and latencies."""
    return frame_of(*(complete(number, *point, device=device) for number, point in enumerate(points)))


def test_the_knee_is_where_the_front_bends() -> None:
    assert knees(frame((0.5, 1.0), (0.9, 2.0), (0.91, 100.0))) == {"local": 1}
    assert knees(frame((0.5, 1.0), (0.7, 2.0), (0.9, 4.0), (0.92, 100.0), (0.1, 3.0))) == {"local": 2}
    equal = frame((0.5, 1.0), (0.9, 2.0), (0.9, 2.0), (0.91, 100.0))
    assert knees(equal) == {"local": 1}, "the first of two that are equal"


def test_latencies_count_by_their_logarithm() -> None:
    # On a linear axis the third point would lie farthest above the chord.
    assert knees(frame((0.5, 1.0), (0.75, 3.0), (0.9, 20.0), (1.0, 100.0))) == {"local": 1}


@pytest.mark.parametrize(
    "points",
    [
        [(0.9, 1.0)],
        [(0.8, 1.0), (0.9, 2.0)],
        [(0.8, 1.0), (0.8, 1.0), (0.9, 2.0)],  # two points
        [(0.7, 1.0), (0.8, 2.0), (0.9, 4.0)],  # on the chord
        [(0.7, 1.0), (0.71, 2.0), (0.9, 4.0)],  # below it
        [(0.7, 1.0), (0.6, 2.0), (0.9, 4.0)],  # dominated
    ],
)
def test_some_fronts_have_none(points: list[tuple[float, float]]) -> None:
    assert knees(frame(*points)) == {}


def test_each_device_has_its_own() -> None:
    both = pd.concat([frame((0.5, 1.0), (0.9, 2.0), (0.91, 100.0)), frame((0.5, 1.0), device="board")])
    both = both.reset_index(drop=True)
    assert knees(both) == {"local": 1}
    assert knees(study(("a", "b"))).keys() == {"a", "b"}, "which differ in speed alone"
    assert knees(frame_of(failed(0))) == knees(pd.DataFrame()) == {}


@given(POINTS, st.floats(0.1, 10))
def test_it_is_the_farthest_point_above_the_chord_in_whatever_unit(
    points: list[tuple[int, float]], unit: float
) -> None:
    drawn = frame(*((accuracy / 1000, latency) for accuracy, latency in points))
    front = drawn[pareto.on_front(drawn, axes(drawn))]
    found = knees(drawn)
    assert knees(front) == found
    if not found:
        return
    width = front["latency_ms"].max() / front["latency_ms"].min()
    share = (front["accuracy"] - front["accuracy"].min()) / (front["accuracy"].max() - front["accuracy"].min())
    above = share - (front["latency_ms"] / front["latency_ms"].min()).map(math.log) / math.log(width)
    assert above.loc[[found["local"]]].max() == pytest.approx(above.max())
    assert above.max() > 0
    scaled = knees(drawn.assign(latency_ms=drawn["latency_ms"] * unit))
    assert scaled.keys() == found.keys()
    assert above.loc[[scaled["local"]]].max() == pytest.approx(above.max(), abs=1e-6)
