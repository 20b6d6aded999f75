"""Operators between dequantize and quantize → the same on 8-bit integers, where we have programs for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from operator import add as plus
from operator import mul

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Call, Expr, Shape
from dlas_ops.kernels.operators import layout, pooling, quantize
from dlas_ops.kernels.shared.blocks import FUSES_EPILOGUE
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.context import Context
from dlas_ops.placement.graph import Problem
from dlas_ops.placement.in_place_concat import parts_of
from dlas_ops.placement.integers import eight_bits, known, operand
from dlas_ops.placement.operators import extremum, name_of
from dlas_ops.placement.rules import dense
from dlas_ops.placement.rules.convolutions import CHANNELS_SECOND, OPERATORS, account, convolution_of, convolved
from dlas_ops.placement.rules.pooling import is_even, is_over_maps, window_of
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Quantization, Value, shape_of
from dlas_ops.processor.dot import dot_of

relax = tvm.relax


@places(*OPERATORS)
def conv(context: Context, call: Call, shape: Shape) -> Value | None:
    """Convolve 8-bit integers; the result is the exact sums."""
    data, weight = context.held(call.args[0]), context.held(call.args[1])
    array = _weights(data, weight, axis=0)
    if array is None or call.attrs.data_layout not in CHANNELS_SECOND:
        return None
    border, column = int(known(data).zero), (1, -1, *[1] * (len(shape) - 2))
    name = context.name(convolution_of("", call.attrs, data, array).operator, array)
    layer = convolution_of(name, call.attrs, data, array, border)
    sums, ran = convolved(context, layer, dtype="int8", arithmetic=_arithmetic(context, data))
    account(context, layer, ran)
    offset = border * array.reshape(len(array), -1).sum(axis=1, dtype=np.int32).reshape(column)
    scale = known(data).scale * known(weight).scale.reshape(column)
    return replace(sums, quantization=Quantization(np.broadcast_to(scale, offset.shape), offset))


@places("relax.add")
def add(context: Context, call: Call, shape: Shape) -> Value | None:
    """Add a bias to sums by moving their zero, or two quantized tensors as floats."""
    one, other = (context.held(argument) for argument in call.args)
    held = one.quantization
    if held is None or held.low > -np.inf or held.high < np.inf or one.shape != shape or one.dtype != "int32":
        return _joined(context, one, other, shape, plus, "add")
    if other.constant is None:
        return _joined(context, one, other, shape, plus, "add")
    stated = other.quantization or Quantization(np.ones((), np.float32))
    bias = np.rint((other.constant - stated.zero).astype(np.float64) * stated.scale / held.scale)
    if bias.size > 1 and bias.shape[-held.zero.ndim :] != held.zero.shape[-bias.ndim :]:
        return None
    return replace(one, quantization=replace(held, zero=(held.zero - bias).astype(np.int32)))


@places("relax.multiply")
def multiply(context: Context, call: Call, shape: Shape) -> Value | None:
    """Multiply two quantized tensors as floats; one of them may be a number per channel."""
    one, other = (context.held(argument) for argument in call.args)
    return _joined(context, *((one, other) if one.shape == shape else (other, one)), shape, mul, "multiply")


def _joined(
    context: Context,
    one: Value,
    other: Value,
    shape: Shape,
    operation: Callable[[Expr, Expr], Expr],
    name: str,
) -> Value | None:
    """Add or multiply two tensors of 8-bit integers as floats, in one step that reads the integers."""
    if not (eight_bits(one) and eight_bits(other) and one.shape == shape):
        return None
    arguments, block, layer = context.alike([one, other], shape)
    if not block:
        return None
    for value in (one, other):
        arguments += [operand(each, replace(value, block=block)) for each in (known(value).zero, known(value).scale)]
    # Fused to a layer that yields a number per channel, this would go over the whole map in that layer's epilogue.
    pattern = None if other.shape == shape else FUSES_EPILOGUE
    result = context.emit(lambda *x: quantize.joined(operation, *x), *arguments, name=name, pattern=pattern)
    return Value(result, shape, block, layer=layer)


@places("relax.nn.relu")
def relu(context: Context, call: Call, shape: Shape) -> Value | None:
    """Note a lower bound on sums."""
    value = context.held(call.args[0])
    held = value.quantization
    if held is None or value.dtype != "int32":
        return None
    return replace(value, quantization=replace(held, low=max(held.low, 0.0), high=max(held.high, 0.0)))


@places("relax.call_tir")
def clip_bound(context: Context, call: Call, shape: Shape) -> Value | None:
    """Note a bound on sums, a Clip that the importer writes as a maximum or minimum with a scalar."""
    data, *bounds = call.args[1].fields
    operator = extremum(context.module[call.args[0]])
    value, bound = context.held(data), context.value(bounds[0]).constant if len(bounds) == 1 else None
    held = value.quantization
    if operator is None or held is None or value.dtype != "int32" or bound is None or bound.size != 1:
        return None
    limit = float(bound.item())
    if operator is relax.op.maximum:
        return replace(value, quantization=replace(held, low=max(held.low, limit), high=max(held.high, limit)))
    return replace(value, quantization=replace(held, low=min(held.low, limit), high=min(held.high, limit)))


@places("relax.matmul")
def matmul(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a dense layer on 8-bit integers; the result is the exact sums."""
    data, weight = context.held(call.args[0]), context.held(call.args[1])
    array = dense.matrix(_weights(data, weight, axis=-1))
    if array is None:
        return None
    name, arithmetic = context.name("dense", weight.constant), _arithmetic(context, data)
    layer = dense.Dense(name, data, data.shape, array, shape)
    sums = dense.layer(context, layer, dtype="int8", arithmetic=arithmetic)
    row = [1] * (len(shape) - 1)
    offset = known(data).zero.reshape(()) * array.sum(axis=0, dtype=np.int32).reshape(*row, -1)
    scale = known(data).scale.reshape(()) * known(weight).scale.reshape(*row, -1)
    return replace(sums, quantization=Quantization(np.broadcast_to(scale, offset.shape), offset))


@places("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten", "relax.permute_dims")
def reshape(context: Context, call: Call, shape: Shape) -> Value | None:
    """Reshape or transpose quantized constants, and reshape tensors of one scale."""
    value = context.held(call.args[0])
    held, array = value.quantization, value.constant
    if held is None:
        return None
    if array is not None:
        axes = _axes(call) if call.op.name == "relax.permute_dims" else None
        moved, scale, zero = (_moved(each, array.shape, axes, shape) for each in (array, held.scale, held.zero))
        if moved is None or scale is None or zero is None:
            return None
        return Value(relax.const(np.ascontiguousarray(moved)), shape, 0, Quantization(scale, zero))
    if not held.per_tensor or call.op.name == "relax.permute_dims":
        return None
    return Value(context.builder.emit(relax.op.reshape(context.plain(value), shape)), shape, 0, held)


@places("relax.permute_dims", "relax.strided_slice")
def moved(context: Context, call: Call, shape: Shape) -> Value | None:
    """Reorder or cut tensors of 8-bit integers that are in no blocks as they are."""
    value = context.held(call.args[0])
    if not eight_bits(value) or value.constant is not None or value.block:
        return None
    made = relax.Call(call.op, [value.expression, *call.args[1:]], call.attrs, call.ty_args)
    return Value(context.builder.emit(made), shape, 0, value.quantization)


@places("TupleGetItem")
def part(context: Context, item: Expr, shape: Shape) -> Value | None:
    """Cut a part of a split out of a tensor of 8-bit integers."""
    split: Call = context.made(item.tuple_value)
    if name_of(split) != "relax.split" or not eight_bits(value := context.held(split.args[0])):
        return None
    axis = int(split.attrs.axis) % len(shape)
    begin = sum([int(field.shape[axis]) for field in split.ty.fields[: int(item.index)]])
    cut = relax.op.strided_slice(context.plain(value), [axis], [begin], [begin + shape[axis]])
    return Value(context.builder.emit(cut), shape, 0, value.quantization)


def _axes(transposition: Call) -> list[int]:
    """Return the order of the axes that a transposition states or, where it states none, the reverse."""
    stated = transposition.attrs.axes or reversed(range(len(shape_of(transposition))))
    return [int(axis) for axis in stated]


def _moved(array: Array, old: Shape, axes: Sequence[int] | None, shape: Shape) -> Array | None:
    """Return a constant, or an array that broadcasts against it, transposed by `axes` or reshaped to `shape`."""
    if array.size == 1:
        return array.reshape([1] * len(shape))
    if axes is not None:
        return array.transpose(axes)
    return array.reshape(shape) if array.size == prod(old) else None


@places("relax.nn.max_pool2d")
def max_pool2d(context: Context, call: Call, shape: Shape) -> Value | None:
    """Take the greatest integer of every window."""
    data = context.held(call.args[0])
    if not eight_bits(data):
        return None
    return _pooled(context, "max", data, window_of(call.attrs, data.shape, shape), shape, known(data))


@places("relax.nn.avg_pool2d")
def avg_pool2d(context: Context, call: Call, shape: Shape) -> Value | None:
    """Average over every window, in sums."""
    data = context.held(call.args[0])
    if not eight_bits(data) or not is_even(call.attrs):
        return None
    window = window_of(call.attrs, data.shape, shape)
    return _pooled(context, "avg", data, window, shape, _averaged(known(data), prod(window.kernel)))


def _pooled(context: Context, kind: str, data: Value, window: Conv, shape: Shape, quantization: Quantization) -> Value:
    """Pool 8-bit integers by `window`; the result stands for what `quantization` says."""
    block, zero = context.block(data.shape[1], data), int(known(data).zero)
    context.recorder.follows(data, Problem(f"{kind}_pool2d", window, dtype="int8"))
    result = context.emit(
        lambda x: pooling.compute(window, x, kind, False, context.cpu, zero),
        context.blocked(data, block, data.layer), name=f"{kind}_pool2d",
    )  # fmt: skip
    context.account(
        f"{kind}_pool2d", data.shape, (), shape, ran="window", stride=window.stride, padding=window.padding,
        dilation=window.dilation, dtype="int8", arithmetic=data.dtype if kind == "max" else "int32",
    )  # fmt: skip
    return Value(result, shape, block, quantization, layer=data.layer)


@places("relax.mean")
def mean(context: Context, call: Call, shape: Shape) -> Value | None:
    """Average over height and width as global average pooling, in sums."""
    data = context.held(call.args[0])
    if not eight_bits(data) or not data.block or not is_over_maps(call.attrs):
        return None
    held = known(data)
    result = context.emit(
        lambda x: pooling.mean(x, data.shape[1], context.cpu), data.expression, name="global_avg_pool2d"
    )
    context.account("global_avg_pool2d", data.shape, (), shape, ran="mean", dtype="int8", arithmetic="int32")
    if not call.attrs.keepdims:
        result = context.builder.emit(relax.op.reshape(result, shape))
    return Value(result, shape, 0, _averaged(held, data.shape[2] * data.shape[3]))


def _averaged(held: Quantization, count: int) -> Quantization:
    """Return the quantization of sums of `count` integers that stand for their average."""
    return Quantization((held.scale / np.float32(count)).astype(np.float32), (held.zero * count).astype(np.int32))


@places("relax.concat")
def concat(context: Context, call: Call, shape: Shape) -> Value | None:
    """Concatenate integers along channels as they are; each channel then has the scale and zero of its own part."""
    values = [context.held(part) for part in parts_of(call)]
    if not any(value.block for value in values) or not all(eight_bits(value) for value in values):
        return None
    block, channels = context.block(shape[1]), [value.shape[1] for value in values]
    parts = [context.in_blocks(value) for value in values]
    result = context.emit(
        lambda *x: layout.concatenate(x, channels, block, context.cpu.lanes()), *parts, name="concat", pattern=None
    )
    stated = [value.quantization for value in values if value.quantization]
    if all(each == stated[0] for each in stated):
        return Value(result, shape, block, stated[0])
    scale, zero = (
        np.concatenate([np.full(size, array.item()) for size, array in zip(channels, arrays, strict=True)])
        for arrays in ([each.scale for each in stated], [each.zero for each in stated])
    )
    column = (1, -1, *[1] * (len(shape) - 2))
    quantization = Quantization(scale.astype(np.float32).reshape(column), zero.astype(np.int32).reshape(column))
    return Value(result, shape, block, quantization)


def _arithmetic(context: Context, data: Value) -> str:
    """Return the dtype in which the processor multiplies."""
    dot = dot_of(data.dtype, context.cpu)
    return dot.weight if dot.instruction else dot.sums


def _weights(data: Value, weight: Value, axis: int) -> NDArray[np.int8] | None:
    """Return the weights if they and the data are integers that the instructions can multiply."""
    array = weight.constant
    if not eight_bits(data) or weight.quantization is None or array is None or array.dtype != np.int8:
        return None
    symmetric = not weight.quantization.zero.any()
    by_output = weight.quantization.scale.size in (1, array.shape[axis])
    return array if symmetric and by_output else None
