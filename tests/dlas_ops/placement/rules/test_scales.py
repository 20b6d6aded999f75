"""Quantize and dequantize operators before and after they are placed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import quantize as kernel
from dlas_ops.kernels.operators.points_innermost import POINTS, scatter
from dlas_ops.placement.rules import scales
from dlas_ops.processor.dot import stored
from dlas_ops.processor.targets import describe
from tests.dlas_ops.placement.before_after import SCALED, TARGET, Case, quantization

relax = tvm.relax

SHAPE = (1, 16, 4, 4)
STORED = stored(describe(TARGET))


def scalars(builder_rank: int, *numbers: Any) -> list[Any]:
    """Return numbers as constants that broadcast against a tensor of so many dimensions."""
    return [relax.const(np.reshape(number, [1] * builder_rank)) for number in numbers]


def quantized(data: Any, scale: float, zero: int, dtype: str = "uint8") -> Any:
    return relax.op.quantize(
        data, relax.const(np.float32(scale)), relax.const(np.array(zero, dtype)), axis=1, out_dtype=dtype
    )


def dequantized(data: Any, scale: Any, zero: Any, axis: int = 1) -> Any:
    return relax.op.dequantize(data, relax.const(np.float32(scale)), relax.const(zero), axis=axis)


def test_floats_become_integers_in_their_layout() -> None:
    case = Case()
    call = quantized(case.argument(SHAPE, 8, layer="first"), 0.5, 3)

    def expected(builder: Any, x: Any) -> Any:
        rest = scalars(5, np.float32(0.5), np.int32(3), np.float32(-3), np.float32(252))
        return builder.emit_te(
            lambda x, *rest: kernel.quantize(x, STORED, *rest), x, *rest, primfunc_name_hint="quantize"
        )

    value = case.becomes(scales.quantize_linear, call, expected)
    assert STORED == "uint8"
    assert (value.block, value.layer, value.quantization) == (8, "first", SCALED)


def test_points_innermost_are_brought_into_the_plain_layout_first() -> None:
    case = Case()
    call = quantized(case.argument(SHAPE, POINTS), 0.5, 3)

    def expected(builder: Any, x: Any) -> Any:
        plain = builder.emit_te(lambda x: scatter(x, SHAPE), x, primfunc_name_hint="unpack")
        rest = scalars(4, np.float32(0.5), np.int32(3), np.float32(-3), np.float32(252))
        return builder.emit_te(
            lambda x, *rest: kernel.quantize(x, STORED, *rest), plain, *rest, primfunc_name_hint="quantize"
        )

    assert case.becomes(scales.quantize_linear, call, expected).block == 0


def test_sums_become_integers_of_another_scale_within_their_bounds() -> None:
    case = Case()
    sums = quantization(0.25, 7, low=0.0, high=6.0)
    call = quantized(case.argument(SHAPE, 8, "int32", quantization=sums), 0.5, 3)

    def expected(builder: Any, x: Any) -> Any:
        rest = scalars(5, np.int32(7), np.float32(0.5), np.int32(3), np.float32(0), np.float32(12))
        return builder.emit_te(
            lambda x, *rest: kernel.requantize(x, STORED, *rest), x, *rest, primfunc_name_hint="requantize"
        )

    assert case.becomes(scales.quantize_linear, call, expected).quantization == SCALED


def test_integers_that_stand_for_the_same_stay_as_they_are() -> None:
    case = Case()
    call = quantized(case.argument(SHAPE, 8, "uint8", quantization=SCALED), 0.5, 3)
    case.becomes(scales.quantize_linear, call, lambda builder, x: x)


def test_a_scale_by_channel_is_left() -> None:
    case = Case()
    call = relax.op.quantize(
        case.argument(SHAPE, 8), relax.const(np.ones(16, np.float32)), relax.const(np.zeros(16, np.uint8)), axis=1,
        out_dtype="uint8",
    )  # fmt: skip
    case.is_left(scales.quantize_linear, call)


def test_dequantizing_keeps_the_integers() -> None:
    case = Case()
    data = case.argument(SHAPE, 8, "uint8", "uint8", quantization=SCALED)
    value = case.becomes(scales.dequantize_linear, dequantized(data, 0.5, np.uint8(3)), lambda builder, x: x)
    assert (value.block, value.quantization) == (8, SCALED)


def test_int8_of_the_network_is_128_higher_where_the_processor_stores_uint8() -> None:
    case = Case()
    data = case.argument(SHAPE, 0, "int8", "int8")

    def expected(builder: Any, x: Any) -> Any:
        def shifted(x: Any) -> Any:
            return tvm.te.compute(SHAPE, lambda *index: (x(*index).astype("int32") + 128).astype("uint8"))

        return builder.emit_te(shifted, x, primfunc_name_hint="shift")

    value = case.becomes(scales.dequantize_linear, dequantized(data, 0.5, np.int8(-125)), expected)
    assert value.quantization == SCALED


@pytest.mark.parametrize("axis", [0, 1])
def test_constants_have_a_scale_by_channel(axis: int) -> None:
    integers, scale = np.ones((4, 4), np.int8), np.arange(1, 5, dtype=np.float32)
    call = dequantized(relax.const(integers), scale, np.zeros(4, np.int8), axis)
    value = Case().becomes(scales.dequantize_linear, call, lambda builder: relax.const(integers))
    assert value.quantization is not None
    assert value.quantization.scale.shape == ((4, 1) if axis == 0 else (1, 4))
    np.testing.assert_array_equal(value.quantization.scale.ravel(), scale)
