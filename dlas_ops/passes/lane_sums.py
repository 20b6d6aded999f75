"""Loop that sums, or finds an extremum → the same in every lane of a few vectors, and then over the lanes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, Stmt, Var
from dlas_ops.passes.loops import loop_over, substituted, then_rest, uses, uses_buffer

tirx = tvm.tirx

# Vectors that are summed side by side: an addition takes as long as four can be begun.
ACCUMULATORS = 4
REDUCTIONS = (tirx.Add, tirx.Mul, tirx.Max, tirx.Min)


def operand_of(store: Stmt, variable: Var) -> Expr | None:
    """Return what `store` combines with the number that it overwrites, if that is the same all over the loop."""
    value = store.value
    if not isinstance(value, REDUCTIONS) or any(uses(index, variable) for index in store.indices):
        return None
    for own, other in ((value.a, value.b), (value.b, value.a)):
        if _is_own(own, store) and not uses_buffer(other, store.buffer):
            return other
    return None


def reduced(variable: Var, extent: int, store: Stmt, operand: Expr, lanes: int) -> Stmt:
    """Return the loop that reduces `operand` into the number that `store` writes, in lanes."""
    combine, dtype, index = type(store.value), str(store.value.ty.dtype), variable.ty
    count = min(ACCUMULATORS, extent // lanes)
    held = tirx.decl_buffer((count * lanes,), dtype, "lanes", scope="local")

    def into(place: Expr | int, term: Expr, size: int) -> Stmt:
        """Add `term`, a function of a lane, to the vector at `place`."""
        lane = tirx.Var("lane", index)
        at = [lane + place]
        value = combine(tirx.BufferLoad(held, at), term(lane))
        return loop_over(lane, size, tirx.BufferStore(held, value, at), tirx.ForKind.VECTORIZED)

    def of(place: Expr | int) -> Callable[[Var], Expr]:
        return lambda lane: substituted(operand, [(variable, place + lane)])

    steps, left = divmod(extent // lanes, count)
    step = tirx.Var("step", index)
    lane = tirx.Var("lane", index)
    first = tirx.BufferStore(held, tirx.const(_neutral(combine, dtype), dtype), [lane])
    body = [into(i * lanes, of(step * (count * lanes) + i * lanes), lanes) for i in range(count)]
    done = steps * count * lanes
    parts: list[Stmt] = [
        loop_over(lane, count * lanes, first, tirx.ForKind.VECTORIZED)
        if count == 1
        else _zeros(held, lanes, count, first),
        loop_over(step, steps, body[0] if count == 1 else tirx.SeqStmt(body)),
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
    return then_rest(whole, variable, extent // lanes * lanes, extent, store)


def _read(held: Buffer, offset: int, lane: Var) -> Expr:
    return tirx.BufferLoad(held, [lane + offset])


def _zeros(held: Buffer, lanes: int, count: int, first: Stmt) -> Stmt:
    [lane] = first.indices
    stores = [
        loop_over(fresh, lanes, substituted(first, [(lane, fresh + i * lanes)]), tirx.ForKind.VECTORIZED)
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


def _is_own(value: Expr, store: Stmt) -> bool:
    """Tell whether `value` is the number that `store` overwrites."""
    return (
        isinstance(value, tvm.ir.TensorLoad)
        and value.source.same_as(store.buffer)
        and all(tvm_ffi.structural_equal(a, b) for a, b in zip(value.indices, store.indices, strict=True))
    )
