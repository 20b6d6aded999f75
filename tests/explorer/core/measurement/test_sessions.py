"""Sessions: what is usual of a device and what disturbed, and intervals that another day's sessions fall into."""

from __future__ import annotations

import itertools
import math
import random
from statistics import median

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from explorer.core.measurement import sessions
from explorer.core.measurement.sessions import DRIFT, LEAST_QUIET, LIMITS, SPREAD, WEIGHT, Estimate, Readings, Session
from explorer.core.measurement.statistics import Interval

NEAR, FAR = Readings(0.30, 0.8, 2.0), Readings(0.30, 1.7, 1.6)  # placements: cores that share a cache, and not
USUAL = NEAR
OF_LATENCIES = {"latency_ms": 0.03}
UNREAD = Readings()
MEDIANS = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8)
SPREADS = st.floats(0.001, 0.5)


def width(interval: Interval) -> float:
    return math.log(interval.high / interval.low)


def test_arithmetic_and_waking_are_usual_at_their_least_and_memory_at_its_median() -> None:
    known = [Readings(0.31, 0.9, 2.0), Readings(0.30, 1.0, 2.4), Readings(0.305, 0.8, 3.0)]
    assert sessions.usual(known) == Readings(0.30, 0.8, 2.4)


def test_memory_of_a_far_mode_tells_nothing_of_the_usual() -> None:
    """Memory is faster where the cores lie apart, so that its least would make every good session a disturbed one."""
    assert sessions.usual([NEAR, FAR, FAR, FAR]) == NEAR
    slow = Readings(0.60, 0.8, 9.0)  # a burst on the cores
    assert sessions.usual([NEAR, slow, slow]) == NEAR


def test_nothing_is_usual_of_a_device_without_a_control() -> None:
    assert sessions.usual([]) == sessions.usual([UNREAD, UNREAD]) == UNREAD
    assert sessions.usual([UNREAD, NEAR]) == NEAR
    assert sessions.usual([Readings(arithmetic_ms=0.3), Readings(memory_ms=2.0)]) == Readings(0.3, None, 2.0)


@given(st.lists(st.sampled_from([NEAR, FAR, UNREAD, Readings(0.33, 0.9, 2.5)]), max_size=8), st.randoms())
def test_the_order_of_sessions_tells_nothing_of_the_usual(known: list[Readings], generator: random.Random) -> None:
    assert sessions.usual(generator.sample(known, len(known))) == sessions.usual(known)


@pytest.mark.parametrize("name", LIMITS)
def test_a_reading_is_disturbed_above_its_limit(name: str) -> None:
    known = getattr(USUAL, name)
    for factor, disturbed in ((0.5, False), (0.99 * LIMITS[name], False), (1.01 * LIMITS[name], True)):
        readings = USUAL._replace(**{name: factor * known})
        assert bool(sessions.disturbance(readings, USUAL)) == disturbed
    assert not sessions.disturbance(readings._replace(**{name: None}), USUAL)
    assert not sessions.disturbance(readings, USUAL._replace(**{name: None}))


def test_a_disturbance_is_named_by_its_factor() -> None:
    assert sessions.disturbance(Readings(0.45, 0.8, 2.0), USUAL) == "arithmetic took 1.50 times as long as at its best"
    assert "meet" in sessions.disturbance(FAR, USUAL)
    assert "2.00" in sessions.disturbance(Readings(0.3, 0.8, 4.0), USUAL)


def test_the_spread_before_any_stack_has_several_sessions() -> None:
    assert sessions.pooled_spread([]) == pytest.approx(SPREAD)
    assert sessions.pooled_spread([[1.0], [2.0]]) == pytest.approx(SPREAD)


@pytest.mark.parametrize("spread", [0.005, 0.03, 0.1])
@pytest.mark.parametrize("count", [2, 4])
def test_the_spread_of_many_stacks_is_theirs(spread: float, count: int) -> None:
    generator = random.Random(0)
    medians = [
        [math.exp(generator.gauss(scale, spread)) for _ in range(count)]
        for scale in (generator.uniform(-3, 6) for _ in range(3000))
    ]
    assert sessions.pooled_spread(medians) == pytest.approx(spread, rel=0.06)
    # A few that were measured at two placements are no other device.
    apart = [[1.0, 1.8]] * 150
    assert sessions.pooled_spread([*medians, *apart]) == pytest.approx(spread, rel=0.15)


@given(st.lists(st.lists(st.floats(0.1, 10), min_size=2, max_size=4), max_size=6), st.floats(0.01, 100))
def test_a_device_of_another_speed_has_the_same_spread(medians: list[list[float]], factor: float) -> None:
    scaled = [[factor * each for each in own] for own in medians]
    assert sessions.pooled_spread(scaled) == pytest.approx(sessions.pooled_spread(medians), rel=1e-6, abs=1e-6)


@given(MEDIANS, SPREADS)
def test_an_interval_holds_its_value_and_that_is_the_median(medians: list[float], spread: float) -> None:
    found = sessions.estimate(medians, spread)
    assert found.value == median(medians)
    assert found.low < found.value < found.high


@given(MEDIANS, SPREADS, st.randoms())
def test_the_order_of_sessions_is_irrelevant(medians: list[float], spread: float, generator: random.Random) -> None:
    shuffled = generator.sample(medians, len(medians))
    assert sessions.estimate(shuffled, spread) == pytest.approx(sessions.estimate(medians, spread))


@given(MEDIANS, SPREADS, st.floats(0.01, 100))
def test_latencies_of_another_unit_have_that_interval(medians: list[float], spread: float, factor: float) -> None:
    expected = [factor * each for each in sessions.estimate(medians, spread)]
    assert list(sessions.estimate([factor * each for each in medians], spread)) == pytest.approx(expected, rel=1e-6)


@given(st.floats(0.01, 1e4), SPREADS, st.integers(1, 7))
def test_another_equal_session_narrows_the_interval(milliseconds: float, spread: float, count: int) -> None:
    fewer, more = (sessions.estimate(number * [milliseconds], spread) for number in (count, count + 1))
    assert width(more) < width(fewer)


@given(MEDIANS, SPREADS, st.floats(1.1, 3))
def test_more_spread_or_confidence_widens_it(medians: list[float], spread: float, factor: float) -> None:
    base = sessions.estimate(medians, spread)
    assert width(sessions.estimate(medians, factor * spread)) > width(base)
    surer, bolder = (sessions.estimate(medians, spread, confidence) for confidence in (0.99, 0.5))
    assert width(surer) > width(base) > width(bolder)


def test_one_session_has_the_interval_of_the_device() -> None:
    """With `WEIGHT` degrees of freedom, of which Student's table says 2.776 at 95 %, and half a spread of drift."""
    assert (WEIGHT, DRIFT) == (4, 0.5)
    found = sessions.estimate([10.0], 0.03)
    half = 2.7764 * 0.03 * math.sqrt(1 + 1 / 4)
    assert (found.low, found.high) == pytest.approx((10 * math.exp(-half), 10 * math.exp(half)), rel=1e-4)


def test_two_sessions_that_differ_widen_it_though_not_alone() -> None:
    """By hand: logarithms of +-0.1 around 0, so a variance of (4 x 0.03^2 + 0.02) / 5 with 5 degrees of freedom."""
    found = sessions.estimate([math.exp(0.1), math.exp(-0.1)], 0.03)
    half = 2.5706 * math.sqrt((4 * 0.03**2 + 0.02) / 5 * (1 / 2 + 1 / 4))
    assert found.low == pytest.approx(math.cosh(0.1) * math.exp(-half), rel=1e-4)
    assert found.high == pytest.approx(math.cosh(0.1) * math.exp(half), rel=1e-4)


def test_no_sessions() -> None:
    with pytest.raises(ValueError, match="no sessions"):
        sessions.estimate([], 0.03)
    assert sessions.latency([], USUAL, OF_LATENCIES) is None


def test_disturbed_sessions_do_not_count_beside_a_quiet_one() -> None:
    quiet, disturbed = Session(4.0, NEAR), Session(8.0, FAR)
    expected = sessions.estimate([4.0], 0.03)
    assert sessions.latency([quiet, disturbed, disturbed], USUAL, OF_LATENCIES) == Estimate(expected, 1, taken=3)
    assert sessions.latency([disturbed, quiet], USUAL, OF_LATENCIES) == Estimate(expected, 1, taken=2)


def test_where_none_was_quiet_all_count_and_that_is_said() -> None:
    found = sessions.latency([Session(8.0, FAR), Session(9.0, Readings(0.45, 0.8, 2.0))], USUAL, OF_LATENCIES)
    assert found is not None
    assert (found.interval.value, found.sessions, found.taken, found.quiet) == (8.5, 2, 2, 0)
    assert "arithmetic" in found.disturbed
    assert found.as_columns(1)["latency_disturbed"] == found.disturbed


def test_every_session_counts_on_a_device_without_a_control() -> None:
    found = sessions.latency([Session(4.0), Session(8.0)], UNREAD, OF_LATENCIES)
    assert found == Estimate(sessions.estimate([4.0, 8.0], 0.03), 2, taken=2)
    assert found.as_columns(batch=3) == {
        "latency_ms": 6.0,
        "latency_low_ms": found.interval.low,
        "latency_high_ms": found.interval.high,
        "images_per_second": 500.0,
        "images_per_second_low": 3e3 / found.interval.high,
        "images_per_second_high": 3e3 / found.interval.low,
        "latency_sessions": 2,
    }


def test_each_quantity_has_an_interval_by_its_own_spread() -> None:
    slow, fast = {"first_ms": 9.0, "load_ms": 30.0}, {"first_ms": 7.0, "load_ms": 30.0}
    known = [Session(4.0, NEAR, slow, 500), Session(4.1, NEAR, fast, 700), Session(8.0, FAR, {"first_ms": 99.0}, 600)]
    found = sessions.latency(known, USUAL, {"latency_ms": 0.03, "first_ms": 0.2})
    assert found is not None
    assert found.beside == {
        "first_ms": sessions.estimate([9.0, 7.0], 0.2),
        "load_ms": sessions.estimate([30.0, 30.0], SPREAD),
    }
    assert found.server_peak_bytes == 700
    columns = found.as_columns(1)
    assert (columns["first_ms"], columns["server_peak_bytes"]) == (8.0, 700)
    assert columns["load_low_ms"] < 30.0 < columns["load_high_ms"]


def test_what_an_earlier_version_has_not_measured_is_left_out() -> None:
    found = sessions.latency([Session(4.0), Session(4.0, beside={"load_ms": 3.0})], UNREAD, {})
    assert found is not None
    assert not found.beside


MOMENTS = st.lists(st.tuples(st.sampled_from([0.30, 0.301, 0.5]), st.sampled_from([0.8, 1.0, 1.7])), min_size=2)


@given(MOMENTS)
def test_exactly_the_samples_between_quiet_moments_are_kept_in_their_order(moments: list[tuple[float, float]]) -> None:
    readings = {
        "arithmetic_ms": [arithmetic for arithmetic, _ in moments],
        "wake_us": [wake for _, wake in moments],
        "memory_ms": [2.0, 4.0],
    }
    quiet = [arithmetic < 0.4 and wake < 1.5 for arithmetic, wake in moments]
    kept, typical = sessions.quiet_samples(len(moments) - 1, readings, USUAL)
    between = [index for index, good in enumerate(itertools.pairwise(quiet)) if all(good)]
    assert kept == (between if len(between) >= LEAST_QUIET * (len(moments) - 1) else [])
    assert typical.memory_ms == 3.0
    if kept:
        assert not sessions.disturbance(typical._replace(memory_ms=None), USUAL)
    else:
        assert typical.arithmetic_ms == max(readings["arithmetic_ms"]), "the worst of all moments"


@given(MOMENTS)
def test_of_an_unknown_device_the_sessions_own_best_is_usual(moments: list[tuple[float, float]]) -> None:
    assume(min(moments)[0] < 0.4 and min(wake for _, wake in moments) == 0.8)
    readings = {"arithmetic_ms": [each for each, _ in moments], "wake_us": [each for _, each in moments]}
    readings["memory_ms"] = [2.0, 2.0]
    samples = len(moments) - 1
    assert sessions.quiet_samples(samples, readings, UNREAD) == sessions.quiet_samples(samples, readings, USUAL)


def test_without_a_control_every_sample_is_quiet() -> None:
    assert sessions.quiet_samples(3, {}, USUAL) == ([0, 1, 2], UNREAD)


def test_one_thread_has_nothing_to_wake() -> None:
    readings: dict[str, list[float]] = {"arithmetic_ms": [0.3, 0.3, 0.5], "wake_us": [], "memory_ms": [2.0, 2.0]}
    assert sessions.quiet_samples(2, readings, USUAL) == ([0], Readings(0.3, None, 2.0))


@pytest.mark.parametrize(("taken", "disturbed"), [(None, False), (0.0, False), (0.2, False), (0.5, True)])
def test_threads_that_lacked_their_cores_were_disturbed(taken: float | None, disturbed: bool) -> None:
    why = sessions.disturbance(NEAR._replace(taken=taken), USUAL)
    assert bool(why) == disturbed
    assert not disturbed or "50% of a core" in why


@pytest.mark.parametrize(
    ("spread", "usual", "disturbed"),
    [(None, None, False), (0.04, None, False), (0.2, None, True), (0.2, 0.03, True), (0.2, 0.1, False)],
)
def test_unsteady_runs_disturb_unless_the_device_is_unsteady(
    spread: float | None, usual: float | None, disturbed: bool
) -> None:
    why = sessions.disturbance(NEAR._replace(spread=spread), USUAL._replace(spread=usual))
    assert bool(why) == disturbed
    assert ("unsteady" in why) == disturbed


def test_the_usual_spread_is_that_of_half_of_the_sessions() -> None:
    known = [NEAR._replace(spread=each) for each in (0.01, 0.02, 0.3)]
    assert sessions.usual(known).spread == 0.02
    assert sessions.usual([NEAR]).spread is None


def test_one_quiet_sample_of_many_makes_no_quiet_session() -> None:
    readings = {"arithmetic_ms": [0.3, 0.3, *[0.5] * 35], "wake_us": [], "memory_ms": [2.0, 2.0]}
    kept, typical = sessions.quiet_samples(36, readings, USUAL)
    assert kept == []
    assert sessions.disturbance(typical, USUAL)


def test_sessions_are_held_against_each_other_and_against_what_is_known() -> None:
    slow, quick = sessions.Readings(arithmetic_ms=2.0), sessions.Readings(arithmetic_ms=1.0)
    assert [bool(why) for why in sessions.disturbances([slow, slow], sessions.Readings())] == [False, False]
    assert [bool(why) for why in sessions.disturbances([slow, quick], sessions.Readings())] == [True, False]
    assert [bool(why) for why in sessions.disturbances([slow, slow], quick)] == [True, True]
