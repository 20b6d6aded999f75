"""Program lowered to loops, not yet to vectors → the same, its innermost loops as whole vectors and what is left over.

Element by element a loop writes neighbours; a loop that sums, or finds an extremum, does so in every lane of a few
vectors and then over the lanes. Two loops that pass over memory as one become one first. Where a condition depends on
the loop, as at the border of a padded tensor, the loop is cut there, so that each part is free of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, For, PrimFunc, Stmt, Var

tirx = tvm.tirx

# On a tensor program: its loops are to become vectors here, with so many elements.
LANES = "dlas.lanes"

# Vectors that are summed side by side: an addition takes as long as four can be begun.
ACCUMULATORS = 4
# Parts that a loop is cut into at most.
MOST_PARTS = 6
CONDITIONAL = "prim.if_then_else"
SERIAL = tirx.ForKind.SERIAL
REDUCTIONS = (tirx.Add, tirx.Mul, tirx.Max, tirx.Min)


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
            if loop.kind == SERIAL and isinstance(loop.body, tirx.BufferStore) and _extent(loop):
                return _innermost(loop, lanes)
            return _with_body(loop, rewrite(loop.body))
        case _:
            return statement


def _joined(loop: For) -> For:
    """Return `loop` and the loops in it as one loop, as far as they pass over memory as one."""
    if not (isinstance(loop.body, tirx.For) and loop.kind == SERIAL):
        return loop
    inner = _joined(loop.body)
    if not (inner.kind == SERIAL and isinstance(inner.body, tirx.BufferStore) and _extent(loop) and _extent(inner)):
        return _with_body(loop, inner)
    count, store = _extent(inner), inner.body
    zero = tirx.const(0, loop.loop_var.ty.dtype)
    moved = [(loop.loop_var, zero), (inner.loop_var, loop.loop_var * count + inner.loop_var)]
    analyzer = tvm.sym.Analyzer()
    for expression in _depending(store, (loop.loop_var, inner.loop_var)):
        if not analyzer.can_prove_equal(expression, _substituted(expression, moved)):
            return _with_body(loop, inner)
    body = _substituted(store, [(loop.loop_var, zero)])
    return _loop(inner.loop_var, _extent(loop) * count, body)


def _depending(store: Stmt, variables: tuple[Var, ...]) -> list[Expr]:
    """Return the indices of what `store` reads and writes; if it depends on `variables` otherwise, these as well."""
    found = list(store.indices)
    found += _read_indices(store.value)
    rest = tvm_ffi.structural_map(store.value, (tvm.ir.TensorLoad, lambda load: tirx.const(0, str(load.ty.dtype))))
    return [*found, *(variable for variable in variables if _uses(rest, variable))]


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
    cuts, extent, variable = {0, _extent(loop)}, _extent(loop), loop.loop_var
    analyzer = tvm.sym.Analyzer()

    def note(one: Expr) -> None:
        # For a >= b, with a - b = slope * variable + offset: it changes where that is 0, give or take one.
        difference = one.a - one.b
        offset = analyzer.simplify(_substituted(difference, [(variable, tirx.const(0, variable.ty.dtype))]))
        slope = analyzer.simplify(_substituted(difference, [(variable, variable + 1)]) - difference)
        if isinstance(offset, tirx.IntImm) and isinstance(slope, tirx.IntImm) and int(slope):
            exact = -int(offset) / int(slope)
            cuts.update(cut for cut in (int(exact) + step for step in (-1, 0, 1, 2)) if abs(cut - exact) <= 1)

    if not _conditions(loop.body.value):
        return [(0, extent)]
    for condition in _conditions(loop.body.value):
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
    return joined if len(joined) <= MOST_PARTS else [(0, _extent(loop))]


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
    shifted = _substituted(store, [(variable, own + begin)])
    variable = own
    plain = _loop(variable, end - begin, shifted)
    if not count or any(_uses(condition, variable) for condition in _conditions(shifted.value)):
        return plain
    operand = _operand(shifted, variable)
    if operand is not None:
        contiguous = any(_step(index, variable) == 1 for index in _read_indices(operand))
        return _reduced(variable, end - begin, shifted, operand, lanes) if contiguous else plain
    if _step(shifted.indices[-1], variable) != 1 or _uses_buffer(shifted.value, shifted.buffer):
        return plain
    lane = tirx.Var("lane", variable.ty)
    body = _substituted(shifted, [(variable, variable * lanes + lane)])
    whole = _loop(variable, count, _loop(lane, lanes, body, tirx.ForKind.VECTORIZED))
    return _then_rest(whole, variable, count * lanes, end - begin, shifted)


def _then_rest(whole: Stmt, variable: Var, done: int, extent: int, store: Stmt) -> Stmt:
    """Return `whole`, followed by a loop over what it leaves of `extent`."""
    if done == extent:
        return whole
    rest = tirx.Var("rest", variable.ty)
    return tirx.SeqStmt([whole, _loop(rest, extent - done, _substituted(store, [(variable, rest + done)]))])


def _reduced(variable: Var, extent: int, store: Stmt, operand: Expr, lanes: int) -> Stmt:
    """Return the loop that reduces `operand` into the number that `store` writes, in lanes."""
    combine, dtype, index = type(store.value), str(store.value.ty.dtype), variable.ty
    count = min(ACCUMULATORS, extent // lanes)
    held = tirx.decl_buffer((count * lanes,), dtype, "lanes", scope="local")

    def into(place: Expr | int, term: Expr, size: int) -> Stmt:
        """Add `term`, a function of a lane, to the vector at `place`."""
        lane = tirx.Var("lane", index)
        at = [lane + place]
        value = combine(tirx.BufferLoad(held, at), term(lane))
        return _loop(lane, size, tirx.BufferStore(held, value, at), tirx.ForKind.VECTORIZED)

    def of(place: Expr | int) -> Callable[[Var], Expr]:
        return lambda lane: _substituted(operand, [(variable, place + lane)])

    steps, left = divmod(extent // lanes, count)
    step = tirx.Var("step", index)
    lane = tirx.Var("lane", index)
    first = tirx.BufferStore(held, tirx.const(_neutral(combine, dtype), dtype), [lane])
    body = [into(i * lanes, of(step * (count * lanes) + i * lanes), lanes) for i in range(count)]
    done = steps * count * lanes
    parts: list[Stmt] = [
        _loop(lane, count * lanes, first, tirx.ForKind.VECTORIZED) if count == 1 else _zeros(held, lanes, count, first),
        _loop(step, steps, body[0] if count == 1 else tirx.SeqStmt(body)),
        *(into(i * lanes, of(done + i * lanes), lanes) for i in range(left)),
    ]
    width = count * lanes
    while width > 1:
        half = -(-width // 2 // lanes) * lanes if width > lanes else width // 2
        parts.append(into(0, partial(_read, held, half), width - half if width > lanes else half))
        width = half
    total = combine(store.value.a if _is_own(store.value.a, store) else store.value.b, tirx.BufferLoad(held, [0]))
    parts.append(tirx.BufferStore(store.buffer, total, store.indices))
    whole = tirx.SeqStmt([tirx.AllocBuffer(held), *parts])
    return _then_rest(whole, variable, extent // lanes * lanes, extent, store)


def _read(held: Buffer, offset: int, lane: Var) -> Expr:
    return tirx.BufferLoad(held, [lane + offset])


def _zeros(held: Buffer, lanes: int, count: int, first: Stmt) -> Stmt:
    [lane] = first.indices
    stores = [
        _loop(fresh, lanes, _substituted(first, [(lane, fresh + i * lanes)]), tirx.ForKind.VECTORIZED)
        for i in range(count)
        for fresh in [tirx.Var("lane", lane.ty)]
    ]
    return tirx.SeqStmt(stores)


def _neutral(combine: type, dtype: str) -> float:
    """Return the number that `combine` with any other leaves that one as it is."""
    if combine is tirx.Max:
        return float(tirx.min_value(dtype).value)
    if combine is tirx.Min:
        return float(tirx.max_value(dtype).value)
    return 0 if combine is tirx.Add else 1


def _operand(store: Stmt, variable: Var) -> Expr | None:
    """Return what `store` combines with the number that it overwrites, if that is the same all over the loop."""
    value = store.value
    if not isinstance(value, REDUCTIONS) or any(_uses(index, variable) for index in store.indices):
        return None
    for own, other in ((value.a, value.b), (value.b, value.a)):
        if _is_own(own, store) and not _uses_buffer(other, store.buffer):
            return other
    return None


def _is_own(value: Expr, store: Stmt) -> bool:
    """Tell whether `value` is the number that `store` overwrites."""
    return (
        isinstance(value, tvm.ir.TensorLoad)
        and value.source.same_as(store.buffer)
        and all(tvm_ffi.structural_equal(a, b) for a, b in zip(value.indices, store.indices, strict=True))
    )


def _step(index: Expr, variable: Var) -> int | None:
    """Return by how much `index` grows with `variable`, if that is always the same."""
    step = tvm.sym.Analyzer().simplify(_substituted(index, [(variable, variable + 1)]) - index)
    return int(step) if isinstance(step, tirx.IntImm) else None


def _read_indices(value: Expr) -> list[Expr]:
    return [index for load in found_in(value, tvm.ir.TensorLoad) for index in load.indices]


def _conditions(value: Expr) -> list[Expr]:
    """Return the conditions that guard parts of `value`: only one of the two sides may be computed."""
    calls = found_in(value, tvm.ir.Call)
    return [call.args[0] for call in calls if str(getattr(call.op, "name", "")) == CONDITIONAL]


def found_in(node: Any, kind: type | tuple[type, ...]) -> list[Any]:
    """Return all nodes of a `kind` in an expression or a statement."""
    found: list[Any] = []
    tvm_ffi.structural_walk(node, (kind, found.append))
    return found


def _uses(expression: Expr, variable: Var) -> bool:
    return any(found.same_as(variable) for found in found_in(expression, tirx.Var))


def _uses_buffer(value: Expr, buffer: Buffer) -> bool:
    return any(load.source.same_as(buffer) for load in found_in(value, tvm.ir.TensorLoad))


def _substituted(of: Any, values: Sequence[tuple[Var, Expr]]) -> Any:
    """Return `of` with expressions in the place of variables."""

    def value(variable: Var) -> Expr:
        return next((expression for known, expression in values if known.same_as(variable)), variable)

    return tvm_ffi.structural_map(of, (tirx.Var, value))


def _extent(loop: For) -> int:
    """Return the extent of a loop that begins at 0, if it is a number; else 0."""
    known = isinstance(loop.extent, tirx.IntImm) and isinstance(loop.min, tirx.IntImm) and int(loop.min) == 0
    return int(loop.extent) if known and not loop.annotations else 0


def _loop(variable: Var, extent: int, body: Stmt, kind: int = SERIAL) -> For:
    return tirx.For(variable, tirx.const(0, variable.ty.dtype), tirx.const(extent, variable.ty.dtype), kind, body)


def _with_body(loop: For, body: Stmt) -> For:
    return tirx.For(
        loop.loop_var, loop.min, loop.extent, loop.kind, body, loop.thread_binding, loop.annotations, loop.step
    )
