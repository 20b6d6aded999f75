from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.fronts import pareto
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction
from tests.explorer.frames import complete, failed, frame_of, study

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"}
TWO: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
POINT = st.tuples(
    st.sampled_from([0.7, 0.8, 0.9]), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([10, 20]), st.sampled_from("ab")
)


def dominates(q: tuple[float, float, int, str], p: tuple[float, float, int, str]) -> bool:
    no_worse = q[0] >= p[0] and q[1] <= p[1] and q[2] <= p[2]
    return no_worse and q[:3] != p[:3]


@settings(deadline=None)
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


def test_comparable_are_complete_trials_with_all_that_counts_on_record() -> None:
    frame = frame_of(failed(0), complete(1, 0.5, 9.0), complete(2, float("nan"), 1.0), complete(3, 0.5, float("nan")))
    assert pareto.comparable(frame, {"accuracy": "maximize"}).tolist() == [False, True, False, True]
    assert pareto.comparable(frame, {"accuracy": "maximize"}, FAST[:1]).tolist() == [False, True, False, False]
    assert not pareto.comparable(frame, {"macs": "minimize"}).any()


FAST = (Limit("latency_ms", "<=", 2.0), Limit("size_bytes", "<=", 15))


@settings(deadline=None)
@given(st.lists(POINT, min_size=1, max_size=25))
def test_with_limits_the_front_is_that_of_the_stacks_which_keep_them(
    points: list[tuple[float, float, int, str]],
) -> None:
    frame = frame_of(*(complete(i, a, ms, size, device=d) for i, (a, ms, size, d) in enumerate(points)))
    kept = frame[(frame["latency_ms"] <= 2.0) & (frame["size_bytes"] <= 15)]
    expected = pareto.front(kept, OBJECTIVES)["number"].tolist()
    assert pareto.front(frame, OBJECTIVES, FAST)["number"].tolist() == expected
    missed = set(frame["device"]) - set(kept["device"])
    assert set(pareto.nearest(frame, FAST)["device"]) == missed


def test_a_limit_holds_on_its_device_alone_and_the_nearest_breaks_them_least() -> None:
    frame = frame_of(
        complete(0, 0.9, 9.0, device="a"),
        failed(1, device="b"),
        complete(2, 0.9, 9.0, device="b"),
        complete(3, 0.8, 4.0, device="b"),
        complete(4, 0.7, 6.0, device="b"),
    )
    limits = (Limit("latency_ms", "<=", 5.0, "b"), Limit("accuracy", ">=", 0.85))
    assert pareto.front(frame, TWO, limits)["number"].tolist() == [0]
    assert pareto.nearest(frame, limits)["number"].tolist() == [3]
    assert pareto.nearest(frame, limits[:1]).empty
    assert pareto.nearest(frame, ()).empty


def test_a_study_without_a_complete_trial_has_an_empty_front() -> None:
    assert pareto.nearest(frame_of(failed(0)), FAST).empty
    assert pareto.nearest(pd.DataFrame(), FAST).empty
    assert pareto.front(frame_of(failed(0)), TWO, FAST).empty
    assert pareto.front(frame_of(failed(0), failed(1)), TWO).empty
    assert pareto.front(pd.DataFrame(), TWO).empty


def test_the_front_is_sorted_by_device_and_then_the_best_first() -> None:
    front = pareto.front(study(("local", "board")), TWO)
    assert front["device"].is_monotonic_increasing
    for _, rows in front.groupby("device"):
        assert len(rows) > 3
        assert rows["accuracy"].is_monotonic_decreasing
        assert rows["latency_ms"].is_monotonic_decreasing
