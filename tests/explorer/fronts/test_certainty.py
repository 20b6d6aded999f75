"""How likely stacks are on the front, against what the normal distribution says, and drawing by drawing."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import moocore
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.measurement.quantities import LATENCY, THROUGHPUT, Quantity, on_device
from explorer.core.measurement.statistics import Interval
from explorer.fronts import certainty, pareto
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction
from tests.explorer.frames import complete, failed, frame_of

TWO: dict[str, Direction] = {"accuracy": "maximize", "latency_ms": "minimize"}
THREE: dict[str, Direction] = {**TWO, "size_bytes": "minimize"}
NEAR = 0.05  # more than 1,000 draws err by in one of 1,000 cases


def within(median: float, factor: float, device: str | None = None) -> dict[str, float]:
    """Return the columns of a latency whose interval reaches from `median` / `factor` to `median` * `factor`."""
    return Quantity("latency_ms", device).as_columns(Interval(median, median / factor, median * factor))


def stack(number: int, accuracy: float, median: float, factor: float = 1.1, **others: Any) -> dict[str, Any]:
    axes = {name: others.pop(name) for name in ("device",) if name in others}
    return {**complete(number, accuracy, median, **axes), **within(median, factor), **others}


def probabilities(*rows: dict[str, Any], objectives: Any = TWO, limits: Sequence[Limit] = ()) -> list[float]:
    return certainty.front_probabilities(frame_of(*rows), objectives, limits).tolist()


def spread(factor: float) -> float:
    """Return the standard deviation of the logarithm of a latency with such an interval; see `within`."""
    return math.log(factor) / 1.96


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([1.0, 1.02])), min_size=1, max_size=12))
def test_without_a_rival_within_its_interval_a_stack_of_the_front_is_sure(drawn: list[tuple[int, int, float]]) -> None:
    rows = [stack(i, 0.9 + 0.01 * better, 1.5**slower, factor) for i, (better, slower, factor) in enumerate(drawn)]
    # Where latencies differ, here they lie at least 20 spreads apart, and where they do not, they are one measurement.
    frame = frame_of(*({**row, "measure_key": str(row["latency_ms"])} for row in rows))
    frame[list(LATENCY.columns[1:])] = frame.groupby("latency_ms")[list(LATENCY.columns[1:])].transform("first")
    expected = pareto.on_front(frame, TWO)
    assert certainty.front_probabilities(frame, TWO).tolist() == expected.astype(float).tolist()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.8, 0.9]), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([10, 20])), max_size=20
    )
)
def test_with_exact_latencies_the_front_is_sure(points: list[tuple[float, float, int]]) -> None:
    rows = [stack(i, accuracy, ms, 1.0, size_bytes=size) for i, (accuracy, ms, size) in enumerate(points)]
    frame = frame_of(*rows, failed(99))
    limits = (Limit("latency_ms", "<=", 2.0), Limit("accuracy", ">=", 0.85))
    for bounds in ((), limits):
        found = certainty.front_probabilities(frame, THREE, bounds)
        assert found.tolist() == pareto.on_front(frame, THREE, bounds).astype(float).tolist()
        without = frame.drop(columns=list(LATENCY.columns[1:]), errors="ignore")  # as of an older workspace
        assert certainty.front_probabilities(without, THREE, bounds).tolist() == found.tolist()


def test_two_alike_are_each_the_faster_one_half_of_the_time() -> None:
    first, second = probabilities(stack(0, 0.9, 1.0), stack(1, 0.9, 1.0))
    assert first == pytest.approx(0.5, abs=NEAR)
    assert first + second == pytest.approx(1.0)


@pytest.mark.parametrize(("slower", "factor"), [(1.02, 1.1), (1.05, 1.1), (1.05, 1.02), (1.3, 1.5)])
def test_a_slower_one_is_on_the_front_as_often_as_it_is_faster(slower: float, factor: float) -> None:
    apart = math.log(slower) / math.hypot(spread(1.1), spread(factor))
    better, worse = probabilities(stack(0, 0.95, 1.0, 1.1), stack(1, 0.9, slower, factor))
    assert better == 1.0
    assert worse == pytest.approx(NormalDist().cdf(-apart), abs=NEAR)
    assert 0 < worse < 1


def test_a_slow_moment_lowers_the_rate_of_the_same_measurement() -> None:
    """Of two stacks, one is faster by both quantities in every draw, and so the other one is never on the front."""
    objectives: dict[str, Direction] = {"latency_ms": "minimize", "images_per_second": "maximize"}

    def measured(number: int, latency: float) -> dict[str, Any]:
        interval = Interval(latency, latency / 1.1, latency * 1.1)
        rate = THROUGHPUT.as_columns(Interval(*(1e3 / interval[end] for end in (0, 2, 1))))
        return {**stack(number, 0.9, latency, measure_key=f"m{number}"), **LATENCY.as_columns(interval), **rate}

    frame = frame_of(measured(0, 1.0), measured(1, 1.05))
    first, second = certainty.front_probabilities(frame, objectives).tolist()
    assert first + second == pytest.approx(1.0), "in no draw are both on it"
    assert 0.05 < second < 0.5


def test_loading_is_slow_at_moments_of_its_own() -> None:
    objectives: dict[str, Direction] = {"latency_ms": "minimize", "load_ms": "minimize"}
    load = Quantity("load_ms").as_columns(Interval(20.0, 18.0, 22.0))
    rows = (stack(number, 0.9, 1.0, measure_key=f"m{number}", **load) for number in range(2))
    first, second = certainty.front_probabilities(frame_of(*rows), objectives).tolist()
    assert first == pytest.approx(0.75, abs=NEAR), "it is beaten where it is slower in both, in a quarter of the draws"
    assert second == pytest.approx(0.75, abs=NEAR)


def test_one_measurement_is_not_drawn_twice() -> None:
    shared: dict[str, Any] = {"measure_key": "m"}
    assert probabilities(stack(0, 0.9, 1.0, **shared), stack(1, 0.9, 1.0, **shared)) == [1.0, 1.0]
    assert probabilities(stack(0, 0.95, 1.0, **shared), stack(1, 0.9, 1.0, **shared)) == [1.0, 0.0]
    apart = [None, None, "m"]  # none on record is none in common
    assert max(probabilities(*(stack(i, 0.9, 1.0, measure_key=key) for i, key in enumerate(apart)))) < 0.5


def test_other_devices_are_no_rivals() -> None:
    assert probabilities(stack(0, 0.9, 1.0, device="a"), stack(1, 0.9, 1.0, device="b")) == [1.0, 1.0]


def test_the_same_rows_have_the_same_probabilities() -> None:
    rows = [stack(i, 0.9, 1.0 + 0.01 * i) for i in range(5)]
    assert probabilities(*rows) == probabilities(*rows)
    other = [{**row, "device": "other"} for row in rows]
    assert probabilities(*rows, *other) == 2 * probabilities(*rows)


def test_a_limit_within_the_interval_is_kept_in_a_part_of_the_draws() -> None:
    limit = Limit("latency_ms", "<=", 1.02)
    kept = NormalDist().cdf(math.log(1.02) / spread(1.1))
    fast, slow = probabilities(stack(0, 0.95, 1.0), stack(1, 0.9, 0.5), limits=[limit])
    assert fast == pytest.approx(kept, abs=NEAR)
    assert slow == 1.0
    # Where the better stack breaks the limit, the other one, which keeps it with a far narrower interval, is the front.
    rows = stack(0, 0.95, 1.0, 1.1), stack(1, 0.9, 1.01, 1.001)
    better, other = probabilities(*rows, limits=[limit])
    assert better == pytest.approx(kept, abs=NEAR)
    assert other == pytest.approx(1 - NormalDist().cdf(math.log(1.01) / spread(1.1)), abs=NEAR)
    assert probabilities(*rows, limits=[Limit("latency_ms", "<=", 0.5)]) == [0.0, 0.0]
    assert probabilities(*rows, limits=[Limit("accuracy", ">=", 0.92)]) == [1.0, 0.0]


def test_a_stack_behind_one_that_may_break_the_limit_is_drawn() -> None:
    slow = Limit("latency_ms", ">=", 1.02)  # the fast one keeps it less often than the slow one
    fast, other = probabilities(stack(0, 0.95, 1.0), stack(1, 0.9, 2.0), limits=[slow])
    kept = 1 - NormalDist().cdf(math.log(1.02) / spread(1.1))
    assert fast == pytest.approx(kept, abs=NEAR)
    assert other == pytest.approx(1 - kept, abs=NEAR)


def on_two(number: int, accuracy: float, a: float, b: float) -> dict[str, Any]:
    """Return a stack on the devices a and b, slower on a, each time measured alone."""
    keys: dict[str, Any] = {"measure_key": f"{number}a", on_device("measure_key", "a"): f"{number}a"}
    keys[on_device("measure_key", "b")] = f"{number}b"
    return stack(number, accuracy, a, device="a+b", **within(a, 1.1, "a"), **within(b, 1.1, "b"), **keys)


def test_every_devices_latency_is_uncertain() -> None:
    rows = on_two(0, 0.95, 4.0, 1.0), on_two(1, 0.9, 8.0, 1.02)
    on_b: dict[str, Direction] = {"accuracy": "maximize", "latency_ms on b": "minimize"}
    expected = NormalDist().cdf(-math.log(1.02) / (math.sqrt(2) * spread(1.1)))
    assert probabilities(*rows) == [1.0, 0.0]
    assert probabilities(*rows, objectives=on_b) == [1.0, pytest.approx(expected, abs=NEAR)]
    assert probabilities(*rows, objectives={**TWO, **on_b})[1] == pytest.approx(expected, abs=NEAR)
    # The slowest device's latency stands in two columns, and is one measurement.
    twice: dict[str, Direction] = {**TWO, "latency_ms on a": "minimize"}
    alike = on_two(0, 0.9, 4.0, 1.0), on_two(1, 0.9, 4.0, 1.0)
    assert sum(probabilities(*alike, objectives=twice)) == pytest.approx(1.0)
    limit = Limit("latency_ms", "<=", 1.02, "b")
    kept = NormalDist().cdf(math.log(1.02) / spread(1.1))
    assert probabilities(rows[0], limits=[limit]) == [pytest.approx(kept, abs=NEAR)]
    assert probabilities(rows[0], limits=[Limit("latency_ms", "<=", 0.1, "c")]) == [1.0]


def brute_force(frame: pd.DataFrame, draws: int) -> list[float]:
    """Return the probabilities with every stack in every draw."""
    generator = np.random.default_rng(5)
    medians = frame["latency_ms"].to_numpy()
    spreads = (np.log(frame["latency_high_ms"]) - np.log(frame["latency_low_ms"])).to_numpy() / (2 * 1.96)
    hits = np.zeros(len(frame))
    for _ in range(draws):
        latency = medians * np.exp(spreads * generator.standard_normal(len(frame)))
        points = np.column_stack([-frame["accuracy"], latency, frame["size_bytes"]])
        hits += moocore.is_nondominated(points, keep_weakly=True)
    return list(hits / draws)


@pytest.mark.parametrize("seed", range(3))
def test_leaving_out_what_cannot_be_on_the_front_changes_no_probability(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    rows = [
        stack(i, float(drawn.uniform(0.5, 1)), float(drawn.lognormal(0, 0.3)), size_bytes=int(drawn.integers(1, 6)))
        for i in range(150)
    ]
    found = np.array(probabilities(*rows, objectives=THREE))
    assert np.abs(found - brute_force(frame_of(*rows), 2000)).max() < NEAR + 0.02
    assert ((found > 0.05) & (found < 0.95)).sum() > 5


def test_with_many_contenders_fewer_draws_are_made() -> None:
    count = 4 * certainty.POINTS // certainty.DRAWS
    rows = pd.DataFrame(
        {
            "state": "complete", "device": "local", "accuracy": np.linspace(0.5, 1, count),
            "latency_ms": np.linspace(1, 1.01, count), "latency_low_ms": 0.9, "latency_high_ms": 1.1,
        }
    )  # fmt: skip
    draws = certainty.DRAWS / 4
    found = certainty.front_probabilities(rows, TWO) * draws
    assert found.max() == draws
    np.testing.assert_allclose(found, found.round(), atol=1e-6)
    assert found.sum() > 0.9 * draws


@pytest.mark.slow
def test_a_million_stacks_take_less_than_two_seconds() -> None:
    drawn, count = np.random.default_rng(0), 1_000_000
    latency = drawn.lognormal(0, 1, count)
    rows = pd.DataFrame(
        {
            "state": "complete", "device": drawn.choice(["local", "rpi4", "jetson"], count),
            "accuracy": drawn.uniform(0.5, 1.0, count), "latency_ms": latency, "latency_low_ms": 0.98 * latency,
            "latency_high_ms": 1.02 * latency, "size_bytes": drawn.integers(10**4, 10**8, count),
        }
    )  # fmt: skip
    start = time.process_time()
    found = certainty.front_with_ties(rows, THREE)
    assert time.process_time() - start < 2
    assert 0 < found["tied"].sum() < len(found) / 2


def test_the_front_is_followed_by_its_ties_device_by_device() -> None:
    rows = [
        stack(10 * place + index, accuracy, median, device=device)
        for place, device in enumerate("ba")
        for index, (accuracy, median) in enumerate([(0.95, 1.0), (0.9, 1.04), (0.9, 1.01), (0.8, 0.5), (0.7, 3.0)])
    ]
    found = certainty.front_with_ties(frame_of(*rows, failed(99)), TWO)
    assert found["number"].tolist() == [10, 13, 12, 11, 0, 3, 2, 1]
    assert found["tied"].tolist() == 2 * [False, False, True, True]
    assert found["front_probability"].iloc[:2].tolist() == [1.0, 1.0]
    likely = found["front_probability"].iloc[2:4].tolist()
    assert 1 > likely[0] > likely[1] >= certainty.TIED_FROM


def test_a_stack_that_is_hardly_ever_on_the_front_is_no_tie() -> None:
    apart = math.sqrt(2) * spread(1.1)
    for deviations, tied in ((1.3, True), (2.1, False)):  # on the front with 0.097 and with 0.018
        found = certainty.front_with_ties(
            frame_of(stack(0, 0.95, 1.0), stack(1, 0.9, math.exp(deviations * apart))), TWO
        )
        assert found["number"].tolist() == ([0, 1] if tied else [0])


def test_a_stack_that_may_keep_the_limit_ties_with_an_empty_front() -> None:
    found = certainty.front_with_ties(frame_of(stack(0, 0.9, 1.01)), TWO, [Limit("latency_ms", "<=", 1.0)])
    assert (found["number"].tolist(), found["tied"].tolist()) == ([0], [True])


@pytest.mark.parametrize("frame", [pd.DataFrame(), frame_of(failed(0))], ids=["empty", "failed"])
def test_without_a_complete_trial_there_is_neither_front_nor_tie(frame: pd.DataFrame) -> None:
    found = certainty.front_with_ties(frame, TWO, [Limit("latency_ms", "<=", 1.0)])
    assert len(found) == 0
    assert {"front_probability", "tied"} <= set(found.columns)
    assert certainty.front_probabilities(frame, TWO).tolist() == [0.0] * len(frame)


LATENCIES = st.tuples(st.floats(0.1, 10), st.floats(1.001, 2)).map(lambda drawn: Interval(drawn[0], *ends(*drawn)))


def ends(median: float, factor: float) -> tuple[float, float]:
    return median / factor, median * factor


def test_a_budget_at_the_median_is_kept_half_of_the_time_and_at_the_end_with_975_permille() -> None:
    latency = Interval(2.0, *ends(2.0, 1.2))
    assert certainty.keeps_budget(latency, 2.0) == pytest.approx(0.5)
    assert certainty.keeps_budget(latency, latency.high) == pytest.approx(0.975)
    assert certainty.keeps_budget(latency, latency.low) == pytest.approx(0.025)
    assert certainty.keeps_budget(latency, 0.0) == 0.0
    point = Interval(2.0, 2.0, 2.0)
    assert [certainty.keeps_budget(point, budget) for budget in (1.99, 2.0, 2.01)] == [0.0, 1.0, 1.0]
