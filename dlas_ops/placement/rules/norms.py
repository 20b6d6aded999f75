"""Norms of floats in channel blocks → one program each; tensors with channels last remember their blocks."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Call, Expr, Shape
from dlas_ops.kernels.operators import layout, norms
from dlas_ops.placement.context import Context
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value

relax = tvm.relax

CHANNELS_LAST, CHANNELS_SECOND = [0, 2, 3, 1], [0, 3, 1, 2]


@places("relax.permute_dims")
def turned(context: Context, call: Call, shape: Shape) -> Value | None:
    """Move the channels of blocked maps behind their points and, of what came from such, back at no cost."""
    value = context.value(call.args[0])
    axes = [int(axis) for axis in call.attrs.axes or ()]
    if axes == CHANNELS_SECOND and value.turned is not None:
        return value.turned
    if axes != CHANNELS_LAST or value.block <= 0:
        return None
    return channels_last(context, value, shape)


@places("relax.nn.layer_norm")
def layer_norm(context: Context, call: Call, shape: Shape) -> Value | None:
    """Normalise over channels, where they are last and blocks of them are at hand."""
    value = context.value(call.args[0])
    gamma, beta = (context.value(argument).constant for argument in call.args[1:3])
    over_channels = [int(axis) % len(shape) for axis in call.attrs.axes] == [len(shape) - 1]
    if value.turned is None or not over_channels or gamma is None or beta is None:
        return None
    data, epsilon = value.turned, float(call.attrs.epsilon)
    parameters = [_packed(array.reshape(-1, 1, 1), data) for array in (gamma, beta)]
    result = context.emit(
        lambda x, a, b: norms.channel_norm(x, a, b, data.shape[1], epsilon), data.expression, *parameters,
        name="layer_norm",
    )  # fmt: skip
    context.account("layer_norm", value.shape, (), shape, ran="blocks")
    return channels_last(context, context.computed(result, data.shape, data.block, data.layer), shape)


@places("relax.reshape")
def group_norm(context: Context, call: Call, shape: Shape) -> Value | None:
    """Normalise over groups of channels, which ONNX writes as an instance norm of a reshaped tensor."""
    found = _grouped(context, call, shape)
    if found is None:
        return None
    data, groups, gamma, beta, epsilon, taken_in = found
    context.taken_in |= {context.line_of[each] for each in taken_in if each in context.line_of}
    each = shape[1] // groups
    parameters = [_packed(np.repeat(array.reshape(-1), each).reshape(-1, 1, 1), data) for array in (gamma, beta)]
    result = context.emit(
        lambda x, a, b: norms.group_norm(x, a, b, shape[1], groups, epsilon), data.expression, *parameters,
        name="group_norm",
    )  # fmt: skip
    context.account("group_norm", shape, (), shape, ran="blocks", groups=groups)
    return context.computed(result, shape, data.block, data.layer)


@places("relax.variance")
def variance(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a variance over height and width of blocked maps."""
    data = context.value(call.args[0])
    axes = sorted(int(axis) % len(data.shape) for axis in call.attrs.axis or ())
    if data.block <= 0 or axes != [2, 3]:
        return None
    result = context.emit(lambda x: norms.variance(x, data.shape[1]), data.expression, name="variance")
    context.account("variance", data.shape, (), shape, ran="blocks")
    if not call.attrs.keepdims:
        result = context.builder.emit(relax.op.reshape(result, shape))
    return context.computed(result, shape)


def channels_last(context: Context, value: Value, shape: Shape) -> Value:
    """Return blocked `value` as a plain tensor of `shape`, its channels last, that remembers its blocks."""
    plain = context.builder.emit(relax.op.permute_dims(context.plain(value), CHANNELS_LAST))
    return Value(plain, shape, turned=replace(value, wide=None))


def _packed(array: Array, value: Value) -> Expr:
    return relax.const(layout.pack_constant(array.astype(np.float32), value.block))


def _grouped(context: Context, call: Call, shape: Shape) -> tuple[Value, int, Array, Array, float, list[Call]] | None:
    """Return what the reshape `call` shows to be normalised: the value, its groups, factors, terms and epsilon.

    The last of it is the calls that compute the moments.
    """
    scaling = _chain(context, call.args[0], "add", "multiply", "divide", "subtract", "reshape")
    if len(shape) != 4 or scaling is None:
        return None
    scaled, product, quotient, deviation, rows = scaling
    spreading = _chain(context, quotient.args[1], "sqrt", "add", "variance")
    centre = _chain(context, deviation.args[1], "mean")
    if spreading is None or centre is None:
        return None
    (_, spread, squares), (mean,) = spreading, centre
    gamma, beta, epsilon = (context.value(each).constant for each in (product.args[1], scaled.args[1], spread.args[1]))
    data, groups = context.value(rows.args[0]), context.value(deviation.args[0]).shape
    one_source = all(each.args[0].same_as(deviation.args[0]) for each in (squares, mean))
    over_rows = all([int(axis) for axis in each.attrs.axis] == [2] for each in (squares, mean))
    alike = data.shape == shape and data.block > 0 and groups[2:] == (prod(shape) // prod(groups[:2]),)
    fits = alike and groups[0] == shape[0] and shape[1] % groups[1] == 0
    if not (one_source and over_rows and fits) or gamma is None or beta is None or epsilon is None:
        return None
    if gamma.size != groups[1] or beta.size != groups[1]:
        return None
    return data, groups[1], gamma, beta, float(epsilon), [squares, mean]


def _chain(context: Context, variable: Expr, *names: str) -> list[Call] | None:
    """Return the calls of operators `names` that lead to `variable`, each the first argument of the one before."""
    found: list[Call] = []
    for name in names:
        made = context.made(variable)
        if getattr(getattr(made, "op", None), "name", "") != f"relax.{name}":
            return None
        found.append(made)
        variable = found[-1].args[0]
    return found
