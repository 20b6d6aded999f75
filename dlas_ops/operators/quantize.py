"""Floats ↔ 8-bit integers, element by element, as ONNX defines it: round half to even, saturate."""

from __future__ import annotations

from typing import Any

from dlas_ops._tvm import tvm

te, tirx = tvm.te, tvm.tirx


def quantize(data: Any, scale: float, zero: int, low: int, high: int, dtype: str) -> Any:
    """Return round(`data` / `scale`) + `zero`, between `low` and `high`."""

    def element(*index: Any) -> Any:
        return _rounded(data(*index) / tirx.const(scale, "float32"), zero, low, high, dtype)

    return te.compute(data.shape, element, name="quantized")


def requantize(sums: Any, offset: Any, factor: Any, zero: int, low: int, high: int, dtype: str) -> Any:
    """Return round((`sums` - `offset`) * `factor`) + `zero`, between `low` and `high`.

    The integers are subtracted exactly, the difference is rounded to float32 and multiplied in it. `offset` and
    `factor` are numbers or tensors that broadcast against `sums`.
    """

    def element(*index: Any) -> Any:
        whole = sums(*index).astype("int32") - _at(offset, index, "int32")
        return _rounded(whole.astype("float32") * _at(factor, index, "float32"), zero, low, high, dtype)

    return te.compute(sums.shape, element, name="requantized")


def dequantize(data: Any, offset: Any, scale: Any, low: float, high: float) -> Any:
    """Return (`data` - `offset`) * `scale` between `low` and `high` in float32, parameters as of `requantize`."""

    def element(*index: Any) -> Any:
        return real(data(*index), _at(offset, index, "int32"), _at(scale, index, "float32"), low, high)

    return te.compute(data.shape, element, name="dequantized")


def real(integer: Any, offset: Any, scale: Any, low: float = -float("inf"), high: float = float("inf")) -> Any:
    """Return the float32 that one integer stands for."""
    held = (integer.astype("int32") - offset).astype("float32") * scale
    held = held if low == -float("inf") else tirx.max(held, tirx.const(low, "float32"))
    return held if high == float("inf") else tirx.min(held, tirx.const(high, "float32"))


def _rounded(value: Any, zero: int, low: int, high: int, dtype: str) -> Any:
    # The bounds are whole numbers, so that they can be applied before rounding, where no float is out of range yet.
    bounded = tirx.max(value, tirx.const(float(low - zero), "float32"))
    bounded = tirx.min(bounded, tirx.const(float(high - zero), "float32"))
    # The nearest integer, a half to the even one: one instruction, unlike tirx.nearbyint and a cast.
    whole = tirx.call_llvm_pure_intrin("int32", "llvm.lrint", bounded)
    return (whole + zero).astype(dtype)


def _at(values: Any, index: tuple[Any, ...], dtype: str) -> Any:
    """Return the element of `values`, a number or a tensor that broadcasts, for `index`."""
    if not isinstance(values, te.Tensor):
        return tirx.const(values, dtype)
    return values(*(0 if int(size) == 1 else i for size, i in zip(values.shape, index, strict=True)))
