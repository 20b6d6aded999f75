"""Floats ↔ 8-bit integers, element by element, as ONNX defines it: round half to even, saturate.

Scales, zero points and bounds are tensors that broadcast against the data, so that layers of the same shape share one
program.
"""

from __future__ import annotations

from collections.abc import Callable

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor

te, tirx = tvm.te, tvm.tirx


def quantize(data: Tensor, dtype: str, scale: Tensor, zero: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return round(`data` / `scale`) + `zero`; the rounded quotient is kept between `low` and `high`."""

    def element(*index: Expr) -> Expr:
        return _rounded(data(*index) / _at(scale, index), dtype, *(_at(each, index) for each in (zero, low, high)))

    return te.compute(data.shape, element, name="quantized")


def requantize(
    sums: Tensor, dtype: str, offset: Tensor, factor: Tensor, zero: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """Return round((`sums` - `offset`) * `factor`) + `zero`; the rounded product is kept within bounds.

    The integers are subtracted exactly, the difference is rounded to float32 and multiplied in it.
    """

    def element(*index: Expr) -> Expr:
        product = real(sums(*index), _at(offset, index), _at(factor, index))
        return _rounded(product, dtype, *(_at(each, index) for each in (zero, low, high)))

    return te.compute(sums.shape, element, name="requantized")


def dequantize(data: Tensor, offset: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return (`data` - `offset`) * `scale` between `low` and `high` in float32."""

    def element(*index: Expr) -> Expr:
        held = real(data(*index), _at(offset, index), _at(scale, index))
        return tirx.min(tirx.max(held, _at(low, index)), _at(high, index))

    return te.compute(data.shape, element, name="dequantized")


def look_up(data: Tensor, table: Tensor, least: int) -> Tensor:
    """Return for each integer its entry in `table`, whose first one is that of `least`."""
    return te.compute(data.shape, lambda *index: table[data(*index).astype("int32") - least], name="looked_up")


def joined(operation: Callable[[Expr, Expr], Expr], one: Tensor, other: Tensor, *stands: Tensor) -> Tensor:
    """Return `operation`, in float32, of what two tensors of integers stand for; the second may broadcast.

    `stands` is the zero point and the scale of the one and of the other.
    """
    # Both may be of the same tensor, which must then be read at one and the same index, not at another 0 as well.
    alike = list(map(int, one.shape)) == list(map(int, other.shape))

    def element(*index: Expr) -> Expr:
        zero, scale, other_zero, other_scale = (_at(each, index) for each in stands)
        held = other(*index) if alike else _at(other, index)
        return operation(real(one(*index), zero, scale), real(held, other_zero, other_scale))

    return te.compute(one.shape, element, name="joined")


def real(integer: Expr, offset: Expr, scale: Expr) -> Expr:
    """Return the float32 that one integer stands for."""
    return (integer.astype("int32") - offset).astype("float32") * scale


def _rounded(value: Expr, dtype: str, zero: Expr, low: Expr, high: Expr) -> Expr:
    return (rounded(value, low, high) + zero).astype(dtype)


def rounded(value: Expr, low: Expr, high: Expr) -> Expr:
    """Return the nearest 32-bit integer to `value`, a half to the even one, between whole `low` and `high`."""
    # The bounds are whole numbers, so that they can be applied before rounding, where no float is out of range yet.
    bounded = tirx.min(tirx.max(value, low), high)
    target = tvm.target.Target.current()
    if target is not None and str(target.kind.name) != "llvm":
        return tirx.nearbyint(bounded).astype("int32")
    # One instruction on a CPU, unlike tirx.nearbyint and a cast.
    return tirx.call_llvm_pure_intrin("int32", "llvm.lrint", bounded)


def _at(values: Tensor, index: tuple[Expr, ...]) -> Expr:
    """Return the element of `values`, which broadcasts, for `index`."""
    return values(*(0 if int(size) == 1 else i for size, i in zip(values.shape, index, strict=True)))
