"""Tensor program → the loops around each of its blocks, as words: what a schedule made of a definition."""

from __future__ import annotations

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import For, PrimFunc, Stmt
from dlas_ops.kernels.scheduling import schedule_function
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.tunables import Choice
from dlas_ops.selection.candidates import programs
from tests.dlas_ops.named_targets import named

KINDS = {"SERIAL": "", "PARALLEL": "parallel ", "VECTORIZED": "vector ", "UNROLLED": "unrolled "}


def nests(function: PrimFunc) -> dict[str, str]:
    """Return block → its loops of more than one step, outermost first, such as ``parallel 4, 9, unrolled 2``."""
    found: dict[str, str] = {}
    _walk(function.body, [], found)
    return found


def annotations_of(function: PrimFunc) -> dict[str, object]:
    """Return what the loops of `function` are annotated with."""
    found: dict[str, object] = {}

    def visit(loop: For) -> None:
        found.update({str(name): value for name, value in loop.annotations.items()})

    tvm_ffi.structural_walk(function.body, (tvm.tirx.For, visit))
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


def program(mcpu: str, conv: Conv, name: str, operator: str = "", density: float = 1.0) -> PrimFunc:
    """Return the candidate `name` for `conv` on a named processor, with bias and ReLU, not scheduled."""
    format = "csr" if name.endswith("/csr") else "dense"
    problem = Problem(operator or conv.operator, conv, plain=operator == "convert", format=format, density=density)
    return programs(problem, named(mcpu))[name].function


def scheduled(function: PrimFunc, mcpu: str, choice: Choice | None = None) -> PrimFunc:
    """Return `function` as the rules schedule it for a named processor, or as `choice` says."""
    return schedule_function(function, describe(named(mcpu)), choice)
