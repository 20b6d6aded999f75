"""The rows that a program's steps have in common."""

from __future__ import annotations

from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import Tensor
from dlas_ops.kernels.operators.rows import Row, common_row
from dlas_ops.processor.cpus import describe_cpu
from tests.dlas_ops.named_targets import named

te, topi = tvm.te, tvm.topi


def row_of(x: Tensor, result: Tensor) -> Row | None:
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([x, result])}))
    blocks: Any = sch.get_child_blocks(sch.get_sblock("root"))
    return common_row(sch, blocks, describe_cpu(named("x86-64-v3")))


@pytest.mark.parametrize(
    ("shape", "axis", "row"),
    [
        ((2, 3, 50, 197), 3, Row((0, 1, 2))),
        ((2, 30, 50, 64), 1, Row((0, 2))),  # side by side along the last axis
        ((1, 30, 1, 4096), 1, Row((0, 2), 64)),  # and cut there, where there are few rows
        ((1, 1 << 20), 1, None),  # one row only
    ],
)
def test_softmax(shape: tuple[int, ...], axis: int, row: Row | None) -> None:
    x = te.placeholder(shape, "float32", "x")
    assert row_of(x, topi.nn.softmax(x, axis)) == row


def test_a_reduction_alone_has_no_rows() -> None:
    x = te.placeholder((4, 30), "float32", "x")
    assert row_of(x, topi.sum(x, 1)) is None
