"""Quantize and dequantize operators → 8-bit integers, and a value that says which reals they stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dlas_ops._types import Call, Expr, Shape
from dlas_ops.kernels.operators import quantize
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.placement.context import Context
from dlas_ops.placement.integers import LIMITS, known, operand, shifted
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.tables import look_up
from dlas_ops.placement.value import Quantization, Value, dtype_of
from dlas_ops.processor.dot import stored


@places("relax.quantize")
def quantize_linear(context: Context, call: Call, shape: Shape) -> Value | None:
    """Turn floats, a convolution's sums or other quantized values into 8-bit integers."""
    wanted = _per_tensor(context, call, str(call.attrs.out_dtype))
    if wanted is None:
        return None
    value, dtype = context.held(call.args[0]), stored(context.cpu)
    if value.block == POINTS:
        value = Value(context.plain(value), shape)
    held = value.quantization
    if held is None and value.table:
        return look_up(context, value.table, wanted, dtype)
    if held is None:
        parameters = [operand(wanted.scale, value), *_target(wanted, value, dtype)]
        result = context.emit(
            lambda x, *rest: quantize.quantize(x, dtype, *rest), value.expression, *parameters, name="quantize",
            pattern=None,
        )  # fmt: skip
    elif value.dtype == dtype and held == wanted:
        return value
    else:
        parameters = _requantization(value, wanted, dtype)
        result = context.emit(
            lambda x, *rest: quantize.requantize(x, dtype, *rest), value.expression, *parameters, name="requantize",
            pattern=None,
        )  # fmt: skip
    return Value(result, shape, value.block, wanted, layer=value.layer)


@places("relax.dequantize")
def dequantize_linear(context: Context, call: Call, shape: Shape) -> Value | None:
    """Keep the integers, and remember the reals that they stand for."""
    value = context.held(call.args[0])
    scale, zero = (context.held(argument).constant for argument in call.args[1:3])
    if scale is None or zero is None:
        return None
    if value.constant is not None:
        column = [1] * len(shape)
        if scale.size > 1:
            column[int(call.attrs.axis)] = scale.size
        return replace(value, quantization=Quantization(scale.reshape(column), zero.reshape(column).astype(np.int32)))
    declared = dtype_of(call.args[0])
    quantization = _per_tensor(context, call, declared)
    if quantization is None:
        return None
    if value.quantization is None:  # integers that the network was given, not ours
        value = replace(value, expression=shifted(context.emit, value, declared, stored(context.cpu)))
    if value.quantization != quantization:
        value = replace(value, table=None)
    return replace(value, shape=shape, quantization=quantization)


def _requantization(value: Value, wanted: Quantization, dtype: str) -> list[Expr]:
    """Return the parameters of `quantize.requantize` that bring quantized `value` to the scale and zero of `wanted`."""
    held = known(value)
    factor = (held.scale / wanted.scale).astype(np.float32)
    return [operand(held.zero, value), operand(factor, value), *_target(wanted, value, dtype, held.low, held.high)]


def _target(
    wanted: Quantization, value: Value, dtype: str, low: float = -np.inf, high: float = np.inf
) -> tuple[Expr, Expr, Expr]:
    """Return the zero point of `wanted` and the bounds of rounded quotients for `dtype` and reals `low` to `high`."""
    with np.errstate(over="ignore"):
        reals = np.rint(np.array([low, high], np.float32) / wanted.scale.item())
    # Bounds of the real values hold for the integers as well, because rounding keeps the order.
    least, most = (limit - wanted.zero.item() for limit in LIMITS[dtype])
    bounds = np.clip(reals, least, most).astype(np.float32)
    return operand(wanted.zero, value), operand(bounds[0], value), operand(bounds[1], value)


def _per_tensor(context: Context, call: Call, declared: str) -> Quantization | None:
    """Return the quantization that `call` states, for integers as this processor stores them."""
    scale, zero = (context.held(argument).constant for argument in call.args[1:3])
    if scale is None or zero is None or scale.size != 1 or zero.size != 1 or declared not in LIMITS:
        return None
    shift = LIMITS[stored(context.cpu)][0] - LIMITS[declared][0]
    return Quantization(scale.reshape(()), (zero.reshape(()).astype(np.int32) + shift).astype(np.int32))
