"""Steps that schedules share: what may be unrolled, and what a step makes of loops."""

from __future__ import annotations

from math import prod

from hypothesis import given
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import SBlock, Schedule
from dlas_ops.schedule.steps import MOST_UNROLLED, divisors, extents, unrollable, unrolled
from tests.dlas_ops.loop_nests import nests


@given(st.integers(1, 500))
def test_divisors_are_all_that_divide(size: int) -> None:
    found = divisors(size)
    assert found == sorted(found)
    assert set(found) == {number for number in range(1, size + 1) if size % number == 0}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_what_is_unrolled_leaves_a_loop(reduction: list[int]) -> None:
    found = unrollable(reduction)
    assert found[0] == 1
    assert all(count <= MOST_UNROLLED and prod(reduction) % count == 0 for count in found)
    assert all(count < prod(reduction) for count in found[1:])


def summing() -> tuple[Schedule, SBlock]:
    """Return a schedule of sums over loops of 3, 2 and 4 steps."""
    te = tvm.te
    data = te.placeholder((8, 3, 2, 4), "float32", "data")
    a, b, c = (te.reduce_axis((0, size), name) for size, name in ((3, "a"), (2, "b"), (4, "c")))
    sums = te.compute((8,), lambda i: te.sum(data[i, a, b, c], axis=[a, b, c]), name="sums")
    sch = tvm.s_tir.Schedule(te.create_prim_func([data, sums]))
    return sch, sch.get_sblock("sums")


def test_steps_are_unrolled_from_the_innermost_loop_outwards() -> None:
    expected = {
        1: "8, 3, 2, 4",
        2: "8, 3, 2, 2, unrolled 2",
        4: "8, 3, 2, unrolled 4",
        8: "8, 3, unrolled 2, unrolled 4",
    }
    for steps, loops in expected.items():
        sch, block = summing()
        assert extents(sch, block) == [8, 3, 2, 4]
        unrolled(sch, sch.get_loops(block)[1:], steps)
        assert nests(sch.mod["main"])["sums"] == loops
