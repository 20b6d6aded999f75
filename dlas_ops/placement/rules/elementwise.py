"""Element-wise operators of floats, or written as such here → the same operators in the layout of their arguments."""

from __future__ import annotations

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Call, Shape
from dlas_ops.kernels.shared.activations import ACTIVATIONS
from dlas_ops.placement.context import Context
from dlas_ops.placement.operators import ELEMENTWISE, extremum
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value

relax = tvm.relax


@places(*ELEMENTWISE)
def broadcast(context: Context, call: Call, shape: Shape) -> Value | None:
    """Apply an element-wise operator in the layout of its blocked argument."""
    arguments, block, layer = context.alike([context.value(argument) for argument in call.args], shape)
    if not block:
        return None
    return context.computed(relax.Call(call.op, arguments, call.attrs, call.ty_args), shape, block, layer)


@places("relax.nn.batch_norm")
def batch_norm(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a batch norm that no convolution took in as one multiplication and one addition."""
    data = context.value(call.args[0])
    gamma, beta, mean, variance = (context.value(argument).constant for argument in call.args[1:5])
    if gamma is None or beta is None or mean is None or variance is None or int(call.attrs.axis) != 1:
        return None
    scale = gamma / np.sqrt(variance + float(call.attrs.epsilon))
    column = (-1, *[1] * (len(data.shape) - 2))
    factors = [_constant(scale.reshape(column)), _constant((beta - mean * scale).reshape(column))]
    arguments, block, layer = context.alike([data, *factors], data.shape)
    x, a, b = arguments or [context.wide(data), *(factor.expression for factor in factors)]
    scaled = context.builder.emit(relax.op.multiply(x, a))
    return context.computed(relax.op.add(scaled, b), data.shape, block, layer)


@places("TupleGetItem")
def first_of_batch_norm(context: Context, call: Call, shape: Shape) -> Value | None:
    """Take the first output of a batch norm, the only one at inference, from the value that stands for all outputs."""
    value = context.values.get(call.tuple_value)
    return value if value is not None and call.index == 0 and value.shape == shape else None


@places("relax.call_tir")
def clip_bound(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a maximum or minimum with a scalar, which the importer makes of Clip, as an element-wise operator."""
    data, *bounds = call.args[1].fields
    operator = extremum(context.module[call.args[0]])
    if operator is None or len(bounds) != 1:
        return None
    bound = context.value(bounds[0])
    if bound.shape or bound.constant is None:
        return None
    value = context.value(data)
    bounded = operator(context.wide(value), bound.expression)
    return context.computed(bounded, shape, value.block, value.layer)


@places(*ACTIVATIONS)
def activation(context: Context, call: Call, shape: Shape) -> Value:
    """Apply an activation function in any layout."""
    data, name = context.value(call.args[0]), call.op.name
    result = context.emit(ACTIVATIONS[name], context.wide(data), name=name.split(".")[-1], pattern=None)
    return context.computed(result, shape, data.block, data.layer)


@places("relax.nn.prelu")
def prelu(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a parametric ReLU, one slope per channel or one for all, as element-wise operators."""
    data, slope = context.value(call.args[0]), context.value(call.args[1]).constant
    if slope is None or (slope.size > 1 and int(call.attrs.axis) != 1):
        return None
    arguments, block, layer = context.alike([data, _constant(slope.reshape(-1, *[1] * (len(shape) - 2)))], shape)
    if not block:
        return None
    emit, (x, factor), zero = context.builder.emit, arguments, relax.const(0.0, "float32")
    below = emit(relax.op.multiply(emit(relax.op.minimum(x, zero)), factor))
    return context.computed(relax.op.add(emit(relax.op.maximum(x, zero)), below), shape, block, layer)


def _constant(array: Array) -> Value:
    return Value(relax.const(array.astype(np.float32)), array.shape)
