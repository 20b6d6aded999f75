"""Concatenations of floats along channels → one tensor that grows in place, or a copy of all parts in blocks."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Call, Shape, Var
from dlas_ops.kernels.operators import layout
from dlas_ops.kernels.shared.dimensions import maps_of
from dlas_ops.placement.context import Context
from dlas_ops.placement.in_place_concat import Grown, opened, parts_of, take, write
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value

relax = tvm.relax


@places("relax.concat")
def grown(context: Context, call: Call, shape: Shape) -> Value | None:
    """Write what a concatenation adds to the shorter one that it begins with; return its channels.

    Parts must be whole vectors of channels, so that the copies vectorise.
    """
    parts = parts_of(call)
    if not any(context.held(part).block for part in parts):
        return None
    grows = context.growing.of(parts)
    if grows is None or any(count % context.cpu.lanes() for count in grows.channels):
        return None
    for part in parts[grows.written :]:
        grows.tensor = _written(context, grows, context.value(part))
        grows.written += 1
    block = context.block(shape[1])
    taken = context.emit(lambda x: take(x, maps_of(shape), block), grows.tensor, name="concat", pattern=None)
    return Value(taken, shape, block)


def _written(context: Context, grows: Grown, part: Value) -> Var:
    """Return the tensor that `grows` with its next part in it."""
    total, source, held = sum(grows.channels), context.in_blocks(part), grows.tensor
    if held is None:
        block = context.block(total)
        return context.emit(lambda x: opened(x, part.maps, total, block), source, name="open", pattern=None)
    begin = sum(grows.channels[: grows.written])
    writer = context.builder.add_func(write(held, source, begin), "write")
    return context.builder.emit(relax.call_tir_inplace(writer, relax.Tuple([held, source]), 0, held.ty))


@places("relax.concat")
def concat(context: Context, call: Call, shape: Shape) -> Value | None:
    """Copy all parts of a concatenation along channels, in blocks."""
    values = [context.value(part) for part in parts_of(call)]
    if not any(value.block for value in values):
        return None
    block, channels = context.block(shape[1]), [value.shape[1] for value in values]
    parts = [context.in_blocks(value) for value in values]
    result = context.emit(
        lambda *x: layout.concatenate(x, channels, block, context.cpu.lanes()), *parts, name="concat", pattern=None
    )
    return Value(result, shape, block)
