"""Tensors of 8-bit integers → their limits, and the floats or other integers that stand for the same numbers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from dlas_ops._tvm import tvm
from dlas_ops._types import Compute, Expr, Tensor, Var
from dlas_ops.kernels.operators import layout, quantize
from dlas_ops.kernels.shared.dimensions import constant_maps
from dlas_ops.placement.value import Quantization, Value

relax, te = tvm.relax, tvm.te


class Emit(Protocol):
    """Adds a call of the tensor program that `compute` builds; see `context.Context.emit`."""

    def __call__(self, compute: Compute, *arguments: Expr, name: str, pattern: int | None = ...) -> Var:
        """Return the variable that holds the result."""
        ...


# The least and the greatest integer of each dtype.
LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}


def known(value: Value) -> Quantization:
    """Return the quantization of a value that has one."""
    assert value.quantization is not None
    return value.quantization


def eight_bits(value: Value) -> bool:
    """Tell whether `value` is 8-bit integers of one scale and zero point."""
    return value.quantization is not None and value.quantization.per_tensor and value.dtype in LIMITS


def operand(array: ArrayLike, value: Value) -> Expr:
    """Return `array`, one number or numbers that broadcast against `value`, as a constant in the value's layout."""
    array = np.asarray(array)
    if array.size == 1:
        array = array.reshape([1] * len(value.shape))
    if not value.block:
        return relax.const(np.ascontiguousarray(array))
    return relax.const(layout.pack_constant(constant_maps(array, value.shape), value.block))


def realized(emit: Emit, value: Value, dtype: str) -> Value:
    """Return quantized `value` as the network has it: floats or, between quantize and dequantize, 8-bit integers."""
    held = known(value)
    if dtype in LIMITS:
        return Value(shifted(emit, value, value.dtype, dtype), value.shape, value.block, layer=value.layer)
    array = value.constant
    if array is not None:
        floats = (array.astype(np.int32) - held.zero).astype(np.float32) * held.scale
        return Value(relax.const(floats.astype(np.float32)), value.shape)
    parameters: list[ArrayLike] = [held.zero, held.scale, np.float32(held.low), np.float32(held.high)]
    result = emit(
        quantize.dequantize, value.expression, *(operand(each, value) for each in parameters), name="dequantize",
        pattern=None,
    )  # fmt: skip
    return Value(result, value.shape, value.block, layer=value.layer)


def shifted(emit: Emit, value: Value, old: str, new: str) -> Expr:
    """Return 8-bit integers as the other 8-bit dtype, 128 higher or lower."""
    if old == new:
        return value.expression
    shift = LIMITS[new][0] - LIMITS[old][0]

    def compute(x: Tensor) -> Tensor:
        return te.compute(x.shape, lambda *index: (x(*index).astype("int32") + shift).astype(new), name="shifted")

    return emit(compute, value.expression, name="shift", pattern=None)
