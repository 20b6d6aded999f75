"""Operators that move or reduce points, each channel for itself → the same operators in the blocks of their input."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Call, Expr, Shape, Tensor
from dlas_ops.kernels.operators import layout
from dlas_ops.passes.loops import found_in
from dlas_ops.placement.context import Context
from dlas_ops.placement.operators import name_of
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value, shape_of

import tvm_ffi  # isort: skip

relax, te, tirx = tvm.relax, tvm.te, tvm.tirx

CHANNELS = 1
POINTS = (0, 2, 3)  # axes of NCHW that are the same in channel blocks

# How the axes of images, groups, channels of a group, rows and columns are reordered to shuffle channels.
SHUFFLE = [0, 2, 1, 3, 4]

# Relax's reductions, which name their axes alike.
REDUCTIONS = tuple(f"relax.{name}" for name in ("max", "min", "sum", "mean"))


@places("relax.image.resize2d")
def resize(context: Context, call: Call, shape: Shape) -> Value | None:
    """Resize maps in channel blocks: where a point comes from is found once for all lanes."""
    data = context.value(call.args[0])
    if data.block <= 0:
        return None
    a = call.attrs

    def compute(x: Tensor) -> Tensor:
        return tvm.topi.image.resize2d(
            x, [float(side) for side in a.roi], shape[2:], f"NCHW{data.block}c", a.method,
            a.coordinate_transformation_mode, a.rounding_method, a.cubic_alpha, a.cubic_exclude, a.extrapolation_value,
            "float32",
        )  # fmt: skip

    result = context.emit(compute, context.wide(data), name="resize2d")
    context.account("resize2d", data.shape, (), shape, ran="blocks")
    return context.computed(result, shape, data.block, data.layer)


@places("relax.strided_slice")
def strided_slice(context: Context, call: Call, shape: Shape) -> Value | None:
    """Cut rows and columns, or whole blocks of channels, out of blocked maps."""
    data, (axes, begins, ends, *steps) = context.value(call.args[0]), call.args[1:]
    if data.block <= 0 or len(shape) != 4:
        return None
    each = {int(axis) % 4: place for place, axis in enumerate(axes.fields)}
    begin, end, step = (
        [int(bound.value) for bound in bounds.fields] for bounds in (begins, ends, steps[0] if steps else axes)
    )
    if CHANNELS in each:
        place = each[CHANNELS]
        first, last = begin[place], begin[place] + shape[1]
        one = not steps or step[place] == 1
        whole = first >= 0 and first % data.block == 0 and (last % data.block == 0 or last == data.shape[1])
        if not (one and whole):
            return None
        begin[place], end[place] = first // data.block, -(-last // data.block)
    fields = [_tuple(list(each)), _tuple(begin), _tuple(end), *([_tuple(step)] if steps else [])]
    made = relax.Call(call.op, [data.expression, *fields], call.attrs, call.ty_args)
    return Value(context.builder.emit(made), shape, data.block, layer=data.layer)


@places("relax.concat")
def concat(context: Context, call: Call, shape: Shape) -> Value | None:
    """Join rows or columns of blocked maps."""
    parts = [context.value(part) for part in getattr(call.args[0], "fields", [])]
    axis = int(call.attrs.axis) % max(len(shape), 1)
    blocks = {part.block for part in parts}
    if len(shape) != 4 or axis == CHANNELS or len(blocks) != 1 or min(blocks) <= 0:
        return None
    joined = relax.op.concat([part.expression for part in parts], axis)
    return Value(context.builder.emit(joined), shape, parts[0].block, layer=parts[0].layer)


@places("relax.reshape")
def shuffled(context: Context, call: Call, shape: Shape) -> Value | None:
    """Shuffle the channels of blocked maps, which ONNX writes as a transposition between two reshapes."""
    turned = context.made(call.args[0])
    if turned is None or name_of(turned) != "relax.permute_dims" or [*map(int, turned.attrs.axes or ())] != SHUFFLE:
        return None
    split = context.made(turned.args[0])
    if split is None or name_of(split) != "relax.reshape":
        return None
    data, (images, groups, own, *points) = context.value(split.args[0]), shape_of(turned.args[0])
    if data.block <= 0 or data.shape != shape or (images, groups * own, *points) != shape:
        return None
    result = context.emit(
        lambda x: layout.shuffled(x, shape[1], groups), data.expression, name="channel_shuffle", pattern=None
    )
    return Value(result, shape, data.block, layer=data.layer)


@places("relax.call_tir")
def program(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a program that the importer wrote, such as a padding, in channel blocks, if it keeps channels apart."""
    arguments = list(call.args[1].fields)
    data = context.value(arguments[0]) if len(arguments) == 1 else None
    if data is None or data.block <= 0 or len(shape) != 4 or len(data.shape) != 4 or data.shape[1] != shape[1]:
        return None
    body = _each_channel(context.module[call.args[0]])
    if body is None:
        return None
    variables, value = body

    def compute(x: Tensor) -> Tensor:
        def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
            points = dict(zip((0, 2, 3), (n, h, w), strict=True))

            def own(variable: Expr) -> Expr:
                place = next((place for place, held in enumerate(variables) if held.same_as(variable)), CHANNELS)
                return points[place].astype(str(variable.ty.dtype)) if place in points else variable

            def read(load: Expr) -> Expr:
                image, _, row, column = load.indices
                return x[image, co, row, column, ci].astype(str(load.ty.dtype))

            moved = tvm_ffi.structural_map(value, [(tirx.Var, own), (tvm.ir.TensorLoad, read)])
            return moved.astype(str(x.dtype))  # what is stored in narrow floats, the program is written for float32

        return te.compute((shape[0], x.shape[1], *shape[2:], x.shape[4]), element, name="moved")

    name = str(call.args[0].name_hint)
    result = context.emit(compute, data.expression, name=name, pattern=None)
    return Value(result, shape, data.block, layer=data.layer)


def _each_channel(function: Expr) -> tuple[list[Expr], Expr] | None:
    """Return the variables of a program's one step and what it computes, if it reads each channel for that itself."""
    blocks = [block for block in found_in(function.body, tvm.s_tir.SBlock) if block.iter_vars]
    stores = found_in(function.body, tirx.BufferStore)
    if len(blocks) != 1 or len(stores) != 1 or len(blocks[0].iter_vars) != 4:
        return None
    variables = [axis.var for axis in blocks[0].iter_vars]
    loads = found_in(stores[0].value, tvm.ir.TensorLoad)
    written = all(index.same_as(variable) for index, variable in zip(stores[0].indices, variables, strict=True))
    read = all(len(load.indices) == 4 and load.indices[CHANNELS].same_as(variables[CHANNELS]) for load in loads)
    outside = tvm_ffi.structural_map(
        stores[0].value, (tvm.ir.TensorLoad, lambda load: tirx.const(0, str(load.ty.dtype)))
    )
    free = not any(variable.same_as(variables[CHANNELS]) for variable in found_in(outside, tirx.Var))
    return (variables, stores[0].value) if written and read and free and loads else None


@places(*REDUCTIONS)
def reduced(context: Context, call: Call, shape: Shape) -> Value | None:
    """Reduce over rows and columns in channel blocks; the result is small, and little to unpack."""
    data = context.value(call.args[0])
    axes = sorted(int(axis) % 4 for axis in call.attrs.axis or ()) if len(data.shape) == 4 else []
    if data.block <= 0 or not axes or not {*axes} <= {2, 3}:
        return None
    name = call.op.name.removeprefix("relax.")
    made = relax.Call(call.op, [context.wide(data)], _keeping(call, axes), call.ty_args)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(data.shape))
    context.account(name, data.shape, (), shape, ran="blocks")
    value = context.computed(made, kept, data.block, data.layer)
    if call.attrs.keepdims:
        return value
    return Value(context.builder.emit(relax.op.reshape(context.plain(value), shape)), shape)


def _keeping(call: Call, axes: list[int]) -> Expr:
    """Return the attributes of a reduction over `axes` that keeps them, with extent 1."""
    like = getattr(relax.op, call.op.name.removeprefix("relax."))
    return like(relax.Var("x", relax.TensorType((1,) * 5, "float32")), axes, keepdims=True).attrs


def _tuple(values: list[int]) -> Expr:
    return relax.Tuple([tvm.tirx.IntImm("int64", value) for value in values])
