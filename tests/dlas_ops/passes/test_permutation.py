"""Bytes looked up in a table: permuted out of registers where the processor can."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.passes.permutation import READS, marked
from tests.dlas_ops import assembly
from tests.dlas_ops.tensor_programs import scheduled


def looked_up(size: int) -> PrimFunc:
    """Return 512 bytes as those that a table of so many has for them."""
    te = tvm.te
    data, table = te.placeholder((512,), "uint8", "data"), te.placeholder((size,), "uint8", "table")
    return te.create_prim_func(
        [data, table, te.compute((512,), lambda i: table[data[i].astype("int32")], name="found")]
    )


@pytest.mark.parametrize(("mcpu", "permutes"), [("znver4", True), ("sapphirerapids", True), ("x86-64-v4", False)])
def test_a_whole_table_is_permuted_where_an_instruction_does_so(mcpu: str, permutes: bool) -> None:
    text = assembly.program_text(scheduled(looked_up(256), mcpu), mcpu)
    assert ("vpermi2b" in text or "vpermt2b" in text) is permutes


def test_only_programs_that_read_a_byte_for_each_byte_are_marked() -> None:
    assert READS in marked(looked_up(256)).attrs
    assert READS not in (marked(looked_up(128)).attrs or {})
