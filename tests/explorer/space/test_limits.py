"""Limits: read from texts, and by how much values break them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.measurement.quantities import QUANTITIES, Quantity
from explorer.space.limits import COMPARISONS, Limit, violation

LIMITS = st.builds(
    Limit,
    st.sampled_from(QUANTITIES),
    st.sampled_from(COMPARISONS),
    st.sampled_from([1e-9, 0.05, 0.9, 1.0]) | st.integers(1, 10**12).map(lambda number: number / 1e12),
    st.none() | st.sampled_from(["local", "rpi4", "my board", "on"]),
)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency_ms <= 5 on rpi4", Limit("latency_ms", "<=", 5.0, "rpi4")),
        ("accuracy>=.9", Limit("accuracy", ">=", 0.9)),
        ("  size_bytes  <=  1e6  ", Limit("size_bytes", "<=", 1e6)),
        ("macs <= 3_000_000 on a b", Limit("macs", "<=", 3e6, "a b")),
    ],
)
def test_a_limit_is_read_from_a_text(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit


@given(LIMITS)
def test_its_text_is_read_as_the_same_limit(limit: Limit) -> None:
    assert Limit.parse(str(limit)) == limit


def test_its_text_is_as_short_as_a_user_would_write_it() -> None:
    assert str(Limit("size_bytes", "<=", 1e6)) == "size_bytes <= 1000000"
    assert str(Limit("latency_ms", "<=", 0.1, "rpi4")) == "latency_ms <= 0.1 on rpi4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency_ms", "limit 'latency_ms' is not QUANTITY <= NUMBER or QUANTITY >= NUMBER, or either with "),
        ("", "limit '' is not QUANTITY"),
        ("<= 5", "limit '<= 5' is not QUANTITY"),
        ("5 >= latency_ms", "unknown quantity '5' in limit '5 >= latency_ms'; allowed: accuracy, latency_ms, "),
        ("size <= 5", f"allowed: {', '.join(QUANTITIES)}; did you mean 'size_bytes'?"),
        ("latency_ms == 5", "unknown comparison '==' in limit 'latency_ms == 5'; allowed: <=, >="),
        ("latency_ms =< 5", "unknown comparison '=<' in limit 'latency_ms =< 5'; allowed: <=, >="),
        ("latency_ms <= fast", "'fast' in limit 'latency_ms <= fast' is no number"),
        ("latency_ms <= ", "'' in limit 'latency_ms <= ' is no number"),
        ("latency_ms <= on rpi4", "'on rpi4' in limit 'latency_ms <= on rpi4' is no number"),
        ("latency_ms <= 0", "limit 'latency_ms <= 0' needs a number from 1e-12 to 1e+15, not 0"),
        ("latency_ms <= -1 on rpi4", "limit 'latency_ms <= -1 on rpi4' needs a number from 1e-12 to 1e+15, not -1"),
        ("latency_ms <= nan", "needs a number from 1e-12 to 1e+15, not nan"),
        ("latency_ms <= inf", "needs a number from 1e-12 to 1e+15, not inf"),
        ("accuracy >= 90", "accuracy in limit 'accuracy >= 90' is a share of the images, at most 1"),
    ],
)  # fmt: skip
def test_what_is_no_limit_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="limit") as error:
        Limit.parse(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@given(LIMITS, st.floats(0, 1e15))
def test_it_is_violated_exactly_where_the_comparison_does_not_hold(limit: Limit, value: float) -> None:
    holds = value <= limit.number if limit.comparison == "<=" else value >= limit.number
    values = {limit.quantity: value}
    broken = limit.violation(limit.device or "any", values)
    assert (broken == 0) == holds
    assert broken >= 0
    assert limit.violation("another", values) == (0 if limit.device else broken)


def test_violations_are_shares_of_the_bounds_and_add_up() -> None:
    limits = [
        Limit("latency_ms", "<=", 4.0, "rpi4"),
        Limit("latency_ms", "<=", 5.0),
        Limit("accuracy", ">=", 0.9),
        Limit("size_bytes", "<=", 1e6),
    ]
    values = {"latency_ms": 6.0, "accuracy": 0.81, "size_bytes": 900_000}
    assert violation(limits, "rpi4", values) == pytest.approx(0.5 + 0.2 + 0.1)
    assert violation(limits, "local", values) == pytest.approx(0.2 + 0.1)
    assert violation([], "local", values) == 0


def test_it_bounds_what_a_stack_reaches_on_its_device() -> None:
    everywhere, on_a = Limit("latency_ms", "<=", 5.0), Limit("latency_ms", "<=", 5.0, "a")
    assert everywhere.bounded("a+b") == on_a.bounded("a") == Quantity("latency_ms")
    assert on_a.bounded("a+b") == Quantity("latency_ms", "a")
    assert on_a.bounded("b") is None
    assert Limit("macs", "<=", 5.0, "a").bounded("a+b") == Quantity("macs")
