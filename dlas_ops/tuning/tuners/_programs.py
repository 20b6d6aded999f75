"""Tensor program → its blocks, and which of them reduce: what MetaSchedule's rules for all processors look at."""

from __future__ import annotations

from itertools import takewhile

from dlas_ops._tvm import tvm
from dlas_ops._types import Block, PrimFunc

# Tiles of spatial and reduction loops, outermost first; the first ones run in parallel.
STRUCTURE = "SSRSRS"


def blocks_of(function: PrimFunc) -> list[Block]:
    """Return the outermost blocks of `function` in their order."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    return [sch.get(block) for block in sch.get_child_blocks(sch.get_sblock("root"))]


def reductions(function: PrimFunc) -> list[Block]:
    """Return the blocks of `function` that reduce."""
    return [block for block in blocks_of(function) if reduces(block)]


def reduces(block: Block) -> bool:
    """Tell whether `block` reduces."""
    return any(axis.iter_type == tvm.tirx.IterVar.CommReduce for axis in block.iter_vars)


def sources(function: PrimFunc) -> list[Block]:
    """Return the blocks before the first one of `function` that reduces."""
    return list(takewhile(lambda block: not reduces(block), blocks_of(function)))
