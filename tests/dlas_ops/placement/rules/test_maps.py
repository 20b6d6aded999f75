"""Operators that move or reduce points, before and after they are placed."""

from __future__ import annotations

from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.placement.rules import maps
from tests.dlas_ops.placement.before_after import Case

relax = tvm.relax

SHAPE = (1, 16, 6, 5)


def test_rows_are_cut_in_blocks() -> None:
    case = Case()
    call = relax.op.strided_slice(case.argument(SHAPE, 8, layer="first"), [2], [1], [5], [2])

    def expected(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.strided_slice(x, [2], [1], [5], [2]))

    value = case.becomes(maps.strided_slice, call, expected)
    assert (value.shape, value.block, value.layer) == ((1, 16, 2, 5), 8, "first")


def test_whole_blocks_of_channels_are_cut() -> None:
    case = Case()
    call = relax.op.strided_slice(case.argument(SHAPE, 8), [1], [8], [16], [1])

    def expected(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.strided_slice(x, [1], [1], [2], [1]))

    assert case.becomes(maps.strided_slice, call, expected).shape == (1, 8, 6, 5)


@pytest.mark.parametrize(("begin", "end", "step"), [(4, 12, 1), (0, 4, 1), (0, 16, 2)])
def test_parts_of_a_block_of_channels_are_left(begin: int, end: int, step: int) -> None:
    case = Case()
    case.is_left(maps.strided_slice, relax.op.strided_slice(case.argument(SHAPE, 8), [1], [begin], [end], [step]))


def test_columns_are_joined_in_blocks() -> None:
    case = Case()
    call = relax.op.concat([case.argument(SHAPE, 8), case.argument(SHAPE, 8)], axis=3)
    value = case.becomes(maps.concat, call, lambda builder, x, y: builder.emit(relax.op.concat([x, y], axis=3)))
    assert (value.shape, value.block) == ((1, 16, 6, 10), 8)


def test_what_is_in_other_blocks_is_left() -> None:
    case = Case()
    case.is_left(maps.concat, relax.op.concat([case.argument(SHAPE, 8), case.argument(SHAPE, 16)], axis=3))


def test_a_reduction_over_channels_is_left() -> None:
    case = Case()
    case.is_left(maps.reduced, relax.op.max(case.argument(SHAPE, 8), [1, 2]))
