"""Expressions and loops of a lowered program → what passes ask of them, and the same with parts exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, For, Stmt, Var

tirx = tvm.tirx

CONDITIONAL = "prim.if_then_else"
SERIAL = tirx.ForKind.SERIAL


def found_in(node: Any, kind: type | tuple[type, ...]) -> list[Any]:
    """Return all nodes of a `kind` in an expression or a statement."""
    found: list[Any] = []
    tvm_ffi.structural_walk(node, (kind, found.append))
    return found


def uses(expression: Expr, variable: Var) -> bool:
    """Tell whether `variable` is in an expression."""
    return any(found.same_as(variable) for found in found_in(expression, tirx.Var))


def uses_buffer(value: Expr, buffer: Buffer) -> bool:
    """Tell whether an expression reads `buffer`."""
    return any(load.source.same_as(buffer) for load in found_in(value, tvm.ir.TensorLoad))


def substituted(of: Any, values: Sequence[tuple[Var, Expr]]) -> Any:
    """Return `of` with expressions in the place of variables."""

    def value(variable: Var) -> Expr:
        return next((expression for known, expression in values if known.same_as(variable)), variable)

    return tvm_ffi.structural_map(of, (tirx.Var, value))


def step_of(index: Expr, variable: Var) -> int | None:
    """Return by how much `index` grows with `variable`, if that is always the same."""
    step = tvm.sym.Analyzer().simplify(substituted(index, [(variable, variable + 1)]) - index)
    return int(step) if isinstance(step, tirx.IntImm) else None


def read_indices(value: Expr) -> list[Expr]:
    """Return the indices of all that an expression reads."""
    return [index for load in found_in(value, tvm.ir.TensorLoad) for index in load.indices]


def conditions_in(value: Expr) -> list[Expr]:
    """Return the conditions that guard parts of `value`: only one of the two sides may be computed."""
    calls = found_in(value, tvm.ir.Call)
    return [call.args[0] for call in calls if str(getattr(call.op, "name", "")) == CONDITIONAL]


def extent_of(loop: For) -> int:
    """Return the extent of a loop that begins at 0, if it is a number; else 0."""
    known = isinstance(loop.extent, tirx.IntImm) and isinstance(loop.min, tirx.IntImm) and int(loop.min) == 0
    return int(loop.extent) if known and not loop.annotations else 0


def loop_over(variable: Var, extent: int, body: Stmt, kind: int = SERIAL) -> For:
    """Return a loop of `variable` from 0 to below `extent`."""
    return tirx.For(variable, tirx.const(0, variable.ty.dtype), tirx.const(extent, variable.ty.dtype), kind, body)


def with_body(loop: For, body: Stmt) -> For:
    """Return `loop` around another body."""
    return tirx.For(
        loop.loop_var, loop.min, loop.extent, loop.kind, body, loop.thread_binding, loop.annotations, loop.step
    )


def then_rest(whole: Stmt, variable: Var, done: int, extent: int, store: Stmt) -> Stmt:
    """Return `whole`, followed by a loop over what it leaves of `extent`."""
    if done == extent:
        return whole
    rest = tirx.Var("rest", variable.ty)
    return tirx.SeqStmt([whole, loop_over(rest, extent - done, substituted(store, [(variable, rest + done)]))])
