"""Sums in float16: parts of bounded length, and intrinsics of a name each."""

from __future__ import annotations

from math import prod

from hypothesis import given
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops.processor import half


def test_sums_are_split_into_parts_of_bounded_length() -> None:
    assert half.parts([3, 3, 16]) == [(3, 1), (1, 3), (1, 16)]
    assert half.parts([3, 3, 260]) == [(3, 1), (3, 1), (5, 52)]
    assert half.parts([7, 7, 1]) == [(1, 7), (1, 7), (1, 1)]
    assert half.parts([131]) == [(131, 1)]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_parts_make_up_the_reduction(extents: list[int]) -> None:
    parts = half.parts(extents)
    assert [outside * inside for outside, inside in parts] == extents
    assert prod(inside for _, inside in parts) <= half.MOST_STEPS


def test_intrinsics_are_registered_under_their_names() -> None:
    for name in (half.multiplied(8), half.widened(8), half.multiplied(4, "global")):
        assert tvm.s_tir.TensorIntrin.get(name) is not None
    assert half.multiplied(8) != half.multiplied(16)
