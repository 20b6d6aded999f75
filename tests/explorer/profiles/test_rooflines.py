"""The least time of a program: arithmetic at the peak of its dtype, weights from where they lie, threads that meet."""

from __future__ import annotations

import pytest

from explorer.profiles.rooflines import ARITHMETIC, KERNEL, THREADS, WEIGHTS, Bounds, Machine

MACHINE = Machine(
    gflop_s=100.0,
    gb_s=10.0,
    wake_us=2.0,
    lanes=8,
    dot="vpmaddwd",
    dot_values=2,
    half=True,
    bfloat16_values=2,
    matrices={"int8": 32.0},
)


@pytest.mark.parametrize(
    ("arithmetic", "peak"),
    [
        ("float32", 100.0),
        ("int8", 200.0),
        ("float16 (sums of 64 products in float16, then float32)", 200.0),
        ("float32 (the processor has no fast arithmetic in float16)", 100.0),
        ("bfloat16 (sums in float32)", 200.0),
        ("int8, in matrices", 3200.0),
        ("int16", 200.0),
        ("int32", 100.0),
    ],
)
def test_the_peak_is_that_of_the_arithmetic(arithmetic: str, peak: float) -> None:
    assert MACHINE.peak(arithmetic) == peak
    assert MACHINE._replace(half=False).peak("float16") == 100.0


def test_the_bounds_are_work_over_rates() -> None:
    bounds = MACHINE.bounds(5e6, "float32", 10**6)
    assert bounds == Bounds(arithmetic=100.0, weights=100.0, threads=2.0)
    assert MACHINE._replace(wake_us=None).bounds(5e6, "float32", 0).threads == 0.0


@pytest.mark.parametrize(
    ("bounds", "us", "by"),
    [
        (Bounds(50, 10, 1), 60, ARITHMETIC),
        (Bounds(10, 50, 1), 60, WEIGHTS),
        (Bounds(0.1, 0.2, 1), 2, THREADS),
        (Bounds(10, 20, 1), 60, KERNEL),
    ],
)
def test_what_bounds_a_program_is_named_where_it_is_near(bounds: Bounds, us: float, by: str) -> None:
    assert bounds.by(us) == by
    assert bounds.least_us == max(bounds.arithmetic, bounds.weights)
