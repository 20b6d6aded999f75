"""Program lowered to loops, not yet to vectors → the same, its innermost loops as whole vectors and what is left over.

Element by element a loop writes neighbours; a loop that sums, or finds an extremum, does so in every lane of a few
vectors and then over the lanes. Two loops that pass over memory as one become one first. Where a condition depends on
the loop, as at the border of a padded tensor, the loop is cut there, so that each part is free of it.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, For, PrimFunc, Stmt, Var
from dlas_ops.passes.lane_sums import operand_of, reduced
from dlas_ops.passes.loops import (
    CONDITIONAL,
    SERIAL,
    conditions_in,
    extent_of,
    found_in,
    loop_over,
    read_indices,
    step_of,
    substituted,
    then_rest,
    uses,
    uses_buffer,
    with_body,
)

tirx = tvm.tirx

# On a tensor program: its loops are to become vectors here, with so many elements.
LANES = "dlas.lanes"

# Parts that a loop is cut into at most.
MOST_PARTS = 6


def in_lanes(function: PrimFunc) -> PrimFunc:
    """Return `function` with its innermost serial loops as loops over vectors, if it asks for them."""
    if LANES not in (function.attrs or {}):
        return function
    lanes = int(function.attrs[LANES])
    return function.with_body(_merged(function.body, lanes))


def _merged(statement: Stmt, lanes: int) -> Stmt:
    """Return `statement` with every innermost loop in vectors."""
    rewrite = partial(_merged, lanes=lanes)
    match statement:
        case tirx.SeqStmt():
            return tirx.SeqStmt([rewrite(child) for child in statement.seq])
        case tirx.AttrStmt():
            return tirx.AttrStmt(statement.node, statement.attr_key, statement.value, rewrite(statement.body))
        case tirx.IfThenElse():
            other = rewrite(statement.else_case) if statement.else_case is not None else None
            return tirx.IfThenElse(statement.condition, rewrite(statement.then_case), other)
        case tirx.For():
            loop = _joined(statement)
            if loop.kind == SERIAL and isinstance(loop.body, tirx.BufferStore) and extent_of(loop):
                return _innermost(loop, lanes)
            return with_body(loop, rewrite(loop.body))
        case _:
            return statement


def _joined(loop: For) -> For:
    """Return `loop` and the loops in it as one loop, as far as they pass over memory as one."""
    if not (isinstance(loop.body, tirx.For) and loop.kind == SERIAL):
        return loop
    inner = _joined(loop.body)
    if not (inner.kind == SERIAL and isinstance(inner.body, tirx.BufferStore) and extent_of(loop) and extent_of(inner)):
        return with_body(loop, inner)
    count, store = extent_of(inner), inner.body
    zero = tirx.const(0, loop.loop_var.ty.dtype)
    moved = [(loop.loop_var, zero), (inner.loop_var, loop.loop_var * count + inner.loop_var)]
    analyzer = tvm.sym.Analyzer()
    for expression in _depending(store, (loop.loop_var, inner.loop_var)):
        if not analyzer.can_prove_equal(expression, substituted(expression, moved)):
            return with_body(loop, inner)
    body = substituted(store, [(loop.loop_var, zero)])
    return loop_over(inner.loop_var, extent_of(loop) * count, body)


def _depending(store: Stmt, variables: tuple[Var, ...]) -> list[Expr]:
    """Return the indices of what `store` reads and writes; if it depends on `variables` otherwise, these as well."""
    found = list(store.indices)
    found += read_indices(store.value)
    rest = tvm_ffi.structural_map(store.value, (tvm.ir.TensorLoad, lambda load: tirx.const(0, str(load.ty.dtype))))
    return [*found, *(variable for variable in variables if uses(rest, variable))]


def _innermost(loop: For, lanes: int) -> Stmt:
    """Return an innermost `loop` in vectors, cut where a condition in it changes."""
    parts = _parts(loop)
    made = []
    for begin, end in parts:
        body = loop.body if len(parts) == 1 else _specialised(loop, begin, end)
        made.append(_vectors(loop.loop_var, begin, end, body, lanes))
    return made[0] if len(made) == 1 else tirx.SeqStmt(made)


def _parts(loop: For) -> list[tuple[int, int]]:
    """Return the intervals of the loop's variable in which no condition on it changes, if these are few."""
    cuts, extent, variable = {0, extent_of(loop)}, extent_of(loop), loop.loop_var
    analyzer = tvm.sym.Analyzer()

    def note(one: Expr) -> None:
        # For a >= b, with a - b = slope * variable + offset: it changes where that is 0, give or take one.
        difference = one.a - one.b
        offset = analyzer.simplify(substituted(difference, [(variable, tirx.const(0, variable.ty.dtype))]))
        slope = analyzer.simplify(substituted(difference, [(variable, variable + 1)]) - difference)
        if isinstance(offset, tirx.IntImm) and isinstance(slope, tirx.IntImm) and int(slope):
            exact = -int(offset) / int(slope)
            cuts.update(cut for cut in (int(exact) + step for step in (-1, 0, 1, 2)) if abs(cut - exact) <= 1)

    if not conditions_in(loop.body.value):
        return [(0, extent)]
    for condition in conditions_in(loop.body.value):
        for comparison in found_in(condition, (tirx.LT, tirx.LE, tirx.GT, tirx.GE, tirx.EQ, tirx.NE)):
            note(comparison)
    inside = sorted(cut for cut in cuts if 0 <= cut <= extent)
    parts = list(pairwise(inside))
    return _alike(loop, parts) if parts else [(0, extent)]


def _alike(loop: For, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return `parts`, those next to each other joined that compute the same."""
    joined: list[tuple[int, int]] = []
    for part in parts:
        wider = (joined[-1][0], part[1]) if joined else part
        both = [joined[-1], part] if joined else []
        bodies = [_specialised(loop, *one) for one in (*both, wider)] if both else []
        if bodies and all(tvm_ffi.structural_equal(body, bodies[-1]) for body in bodies):
            joined[-1] = wider
        else:
            joined.append(part)
    return joined if len(joined) <= MOST_PARTS else [(0, extent_of(loop))]


def _specialised(loop: For, begin: int, end: int) -> Stmt:
    """Return the body of `loop`, simplified for values of its variable from `begin` to below `end`."""
    analyzer = tvm.sym.Analyzer()
    analyzer.bind(loop.loop_var, tvm.ir.Range(begin, end))
    store = loop.body
    conditions = (tvm.ir.Call, lambda call: _decided(call, analyzer))
    return tirx.BufferStore(store.buffer, tvm_ffi.structural_map(store.value, conditions), store.indices)


def _decided(call: Expr, analyzer: Any) -> Expr:
    """Return the side of a conditional expression that its condition, if that is known, chooses."""
    if str(getattr(call.op, "name", "")) != CONDITIONAL:
        return call
    condition = analyzer.simplify(call.args[0])
    if isinstance(condition, tirx.IntImm):
        return call.args[1] if int(condition) else call.args[2]
    return tirx.if_then_else(condition, call.args[1], call.args[2])


def _vectors(variable: Var, begin: int, end: int, store: Stmt, lanes: int) -> Stmt:
    """Return the loop from `begin` to `end` over `store`: whole vectors, and what is left over."""
    count, own = (end - begin) // lanes, tirx.Var(variable.name, variable.ty)
    shifted = substituted(store, [(variable, own + begin)])
    variable = own
    plain = loop_over(variable, end - begin, shifted)
    if not count or any(uses(condition, variable) for condition in conditions_in(shifted.value)):
        return plain
    operand = operand_of(shifted, variable)
    if operand is not None:
        contiguous = any(step_of(index, variable) == 1 for index in read_indices(operand))
        return reduced(variable, end - begin, shifted, operand, lanes) if contiguous else plain
    if step_of(shifted.indices[-1], variable) != 1 or uses_buffer(shifted.value, shifted.buffer):
        return plain
    # Workaround: TVM 0.27: it stores no vector of bfloat16 whose numbers are all the same; tests/workarounds
    if str(shifted.buffer.dtype) == "bfloat16" and not uses(shifted.value, variable):
        return plain
    lane = tirx.Var("lane", variable.ty)
    body = substituted(shifted, [(variable, variable * lanes + lane)])
    whole = loop_over(variable, count, loop_over(lane, lanes, body, tirx.ForKind.VECTORIZED))
    return then_rest(whole, variable, count * lanes, end - begin, shifted)
