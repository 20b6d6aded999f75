"""Quantize and dequantize operators → 8-bit integers and, on the value that holds them, what they stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import layout, quantize
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.placement.tables import LIMITS, look_up
from dlas_ops.placement.value import Quantization, Value
from dlas_ops.processor.dot import stored

if TYPE_CHECKING:
    from dlas_ops.placement.walk import Placement

relax = tvm.relax


def quantize_linear(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Turn floats, a convolution's sums or other quantized values into 8-bit integers."""
    wanted = _per_tensor(place, call, str(call.attrs.out_dtype))
    if wanted is None:
        return None
    value, dtype = place.held(call.args[0]), stored(place.cpu)
    if value.block == POINTS:
        value = Value(place.plain(value), shape)
    held = value.quantization
    if held is None and value.table:
        return look_up(place, value.table, wanted, dtype)
    if held is None:
        parameters = [operand(wanted.scale, value), *_target(wanted, value, dtype)]
        result = place.emit(
            lambda x, *rest: quantize.quantize(x, dtype, *rest), value.expression, *parameters, name="quantize",
            pattern=None,
        )  # fmt: skip
    elif value.dtype == dtype and held == wanted:
        return value
    else:
        parameters = _requantization(value, wanted, dtype)
        result = place.emit(
            lambda x, *rest: quantize.requantize(x, dtype, *rest), value.expression, *parameters, name="requantize",
            pattern=None,
        )  # fmt: skip
    return Value(result, shape, value.block, wanted, layer=value.layer)


def dequantize_linear(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Keep the integers, and remember what they stand for."""
    value = place.held(call.args[0])
    scale, zero = (place.held(argument).constant for argument in call.args[1:3])
    if scale is None or zero is None:
        return None
    if value.constant is not None:
        column = [1] * len(shape)
        if scale.size > 1:
            column[int(call.attrs.axis)] = scale.size
        return replace(value, quantization=Quantization(scale.reshape(column), zero.reshape(column).astype(np.int32)))
    declared = str(call.args[0].ty.dtype.dtype)
    quantization = _per_tensor(place, call, declared)
    if quantization is None:
        return None
    if value.quantization is None:  # integers that the network was given, not ours
        value = replace(value, expression=_shifted(place, value, declared, stored(place.cpu)))
    if value.quantization != quantization:
        value = replace(value, table=None)
    return replace(value, shape=shape, quantization=quantization)


def realized(place: Placement, value: Value, dtype: str) -> Value:
    """Return quantized `value` as the network has it: floats or, between quantize and dequantize, 8-bit integers."""
    held = value.quantization
    assert held is not None
    if dtype in LIMITS:
        return Value(_shifted(place, value, value.dtype, dtype), value.shape, value.block, layer=value.layer)
    array = value.constant
    if array is not None:
        floats = (array.astype(np.int32) - held.zero).astype(np.float32) * held.scale
        return Value(relax.const(floats.astype(np.float32)), value.shape)
    parameters = [held.zero, held.scale, np.float32(held.low), np.float32(held.high)]
    result = place.emit(
        quantize.dequantize, value.expression, *(operand(each, value) for each in parameters), name="dequantize",
        pattern=None,
    )  # fmt: skip
    return Value(result, value.shape, value.block, layer=value.layer)


def known(value: Value) -> Quantization:
    """Return the quantization of a value that has one."""
    assert value.quantization is not None
    return value.quantization


def eight_bits(value: Value) -> bool:
    """Whether `value` is 8-bit integers of one scale and zero point."""
    return value.quantization is not None and value.quantization.per_tensor and value.dtype in LIMITS


def operand(array: Any, value: Value) -> Any:
    """Return `array`, one number or what broadcasts against `value`, as a constant in the value's layout."""
    array = np.asarray(array)
    if array.size == 1:
        array = array.reshape([1] * len(value.shape))
    return relax.const(layout.pack_constant(array, value.block) if value.block else np.ascontiguousarray(array))


def _requantization(value: Value, wanted: Quantization, dtype: str) -> list[Any]:
    """Return the parameters of `quantize.requantize` that make of quantized `value` what `wanted` says."""
    held = known(value)
    factor = (held.scale / wanted.scale).astype(np.float32)
    return [operand(held.zero, value), operand(factor, value), *_target(wanted, value, dtype, held.low, held.high)]


def _target(
    wanted: Quantization, value: Value, dtype: str, low: float = -np.inf, high: float = np.inf
) -> tuple[Any, Any, Any]:
    """Return the zero point of `wanted` and the bounds of rounded quotients for `dtype` and reals `low` to `high`."""
    with np.errstate(over="ignore"):
        reals = np.rint(np.array([low, high], np.float32) / wanted.scale.item())
    # Bounds of the real values hold for the integers as well, because rounding keeps the order.
    least, most = (limit - wanted.zero.item() for limit in LIMITS[dtype])
    bounds = np.clip(reals, least, most).astype(np.float32)
    return operand(wanted.zero, value), operand(bounds[0], value), operand(bounds[1], value)


def _per_tensor(place: Placement, call: Any, declared: str) -> Quantization | None:
    """Return the quantization that `call` states, for integers as this processor stores them."""
    scale, zero = (place.held(argument).constant for argument in call.args[1:3])
    if scale is None or zero is None or scale.size != 1 or zero.size != 1 or declared not in LIMITS:
        return None
    shift = LIMITS[stored(place.cpu)][0] - LIMITS[declared][0]
    return Quantization(scale.reshape(()), (zero.reshape(()).astype(np.int32) + shift).astype(np.int32))


def _shifted(place: Placement, value: Value, old: str, new: str) -> Any:
    """Return 8-bit integers as the other 8-bit dtype, 128 higher or lower."""
    if old == new:
        return value.expression
    shift = LIMITS[new][0] - LIMITS[old][0]

    def compute(x: Any) -> Any:
        return tvm.te.compute(x.shape, lambda *index: (x(*index).astype("int32") + shift).astype(new), name="shifted")

    return place.emit(compute, value.expression, name="shift", pattern=None)
