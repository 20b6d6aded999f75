"""Tensor program → the loops around each of its blocks, as words: what a schedule made of a definition."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc, Stmt

KINDS = {"SERIAL": "", "PARALLEL": "parallel ", "VECTORIZED": "vector ", "UNROLLED": "unrolled "}


def nests(function: PrimFunc) -> dict[str, str]:
    """Return block → its loops of more than one step, outermost first, such as ``parallel 4, 9, unrolled 2``."""
    found: dict[str, str] = {}
    _walk(function.body, [], found)
    return found


def _walk(statement: Stmt, around: list[str], found: dict[str, str]) -> None:
    match statement:
        case tvm.s_tir.SBlockRealize():
            block = statement.block
            if str(block.name_hint) != "root":
                found[str(block.name_hint)] = ", ".join(around)
            _walk(block.body, around, found)
        case tvm.tirx.For():
            steps = int(statement.extent) if isinstance(statement.extent, tvm.tirx.IntImm) else str(statement.extent)
            kind = KINDS[tvm.tirx.ForKind(statement.kind).name]
            _walk(statement.body, around if steps == 1 else [*around, f"{kind}{steps}"], found)
        case tvm.tirx.SeqStmt():
            for each in statement.seq:
                _walk(each, around, found)
        case tvm.tirx.IfThenElse():
            _walk(statement.then_case, around, found)
