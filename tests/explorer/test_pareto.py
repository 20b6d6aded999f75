from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from explorer import pareto
from explorer.space_file import Direction
from tests.explorer.frames import complete, failed, frame_of, study

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"}
TWO: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
POINT = st.tuples(
    st.sampled_from([0.7, 0.8, 0.9]), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([10, 20]), st.sampled_from("ab")
)


def dominates(q: tuple[float, float, int, str], p: tuple[float, float, int, str]) -> bool:
    no_worse = q[0] >= p[0] and q[1] <= p[1] and q[2] <= p[2]
    return no_worse and q[:3] != p[:3]


@given(st.lists(POINT, min_size=1, max_size=25))
def test_the_front_is_what_no_stack_on_the_same_device_dominates(points: list[tuple[float, float, int, str]]) -> None:
    frame = frame_of(*(complete(i, a, ms, size, device=d) for i, (a, ms, size, d) in enumerate(points)))
    expected = [not any(dominates(q, p) for q in points if q[3] == p[3]) for p in points]
    assert pareto.on_front(frame, OBJECTIVES).tolist() == expected


def test_equal_stacks_are_both_on_the_front() -> None:
    frame = frame_of(complete(0, 0.9, 1.0), complete(1, 0.9, 1.0), complete(2, 0.8, 1.0))
    assert pareto.front(frame, TWO)["number"].tolist() == [0, 1]


def test_failed_trials_and_gaps_are_not_on_the_front() -> None:
    frame = frame_of(failed(0), complete(1, 0.5, 9.0), complete(2, float("nan"), 1.0))
    assert pareto.on_front(frame, TWO).tolist() == [False, True, False]


def test_a_study_without_a_complete_trial_has_an_empty_front() -> None:
    assert pareto.front(frame_of(failed(0), failed(1)), TWO).empty
    assert pareto.front(pd.DataFrame(), TWO).empty


def test_the_front_is_sorted_by_device_and_then_the_best_first() -> None:
    front = pareto.front(study(("local", "board")), TWO)
    assert front["device"].is_monotonic_increasing
    for _, rows in front.groupby("device"):
        assert len(rows) > 3
        assert rows["accuracy"].is_monotonic_decreasing
        assert rows["latency_ms"].is_monotonic_decreasing
