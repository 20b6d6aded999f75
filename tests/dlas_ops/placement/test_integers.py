"""8-bit integers → the floats and the other integers that stand for the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import quantize
from dlas_ops.placement.integers import LIMITS, eight_bits, known, operand, realized
from dlas_ops.placement.value import Quantization, Value
from tests.dlas_ops.placement.before_after import SCALED, Case, function, tensor

relax = tvm.relax

SHAPE = (1, 16, 4, 4)
BY_CHANNEL = Quantization(np.ones((1, 16, 1, 1), np.float32), np.zeros((1, 16, 1, 1), np.int32))


@pytest.mark.parametrize(("dtype", "quantization", "expected"), [
    ("uint8", SCALED, True), ("int8", SCALED, True), ("int32", SCALED, False), ("uint8", BY_CHANNEL, False),
    ("uint8", None, False),
])  # fmt: skip
def test_eight_bits_are_of_one_scale(dtype: str, quantization: Quantization | None, expected: bool) -> None:
    assert eight_bits(Value(tensor(SHAPE, dtype), SHAPE, 0, quantization)) == expected


def test_the_limits_are_those_of_the_dtypes() -> None:
    for dtype, (least, most) in LIMITS.items():
        assert (np.iinfo(dtype).min, np.iinfo(dtype).max) == (least, most)


def test_a_value_of_no_quantization_is_refused() -> None:
    with pytest.raises(AssertionError):
        known(Value(tensor(SHAPE), SHAPE))


def test_a_number_broadcasts_in_any_layout_and_one_per_channel_is_packed() -> None:
    plain, blocked = Value(tensor(SHAPE), SHAPE), Value(tensor((1, 2, 4, 4, 8)), SHAPE, 8)
    by_channel = np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1)
    assert operand(np.float32(2), plain).value.numpy().shape == (1, 1, 1, 1)
    assert operand(np.float32(2), blocked).value.numpy().shape == (1, 1, 1, 1, 1)
    assert operand(by_channel, plain).value.numpy().shape == (1, 16, 1, 1)
    packed = operand(by_channel, blocked).value.numpy()
    assert packed.shape == (1, 2, 1, 1, 8)
    np.testing.assert_array_equal(packed.ravel(), np.arange(16))


def after(case: Case, data: Any, dtype: str) -> tuple[Value, Any]:
    """Return what stands for `data` in `dtype`, and the module with what it emitted."""
    builder = case.context.builder
    with builder.function("main", case.parameters):
        with builder.dataflow():
            value = realized(case.context.emit, case.context.held(data), dtype)
            result = builder.emit_output(value.expression)
        builder.emit_func_output(result)
    return value, builder.get()


def test_integers_become_floats_in_their_layout() -> None:
    case = Case()
    bounded = Quantization(SCALED.scale, SCALED.zero, 0.0, 6.0)
    value, module = after(case, case.argument(SHAPE, 8, "uint8", quantization=bounded, layer="first"), "float32")

    def expected(builder: Any, x: Any) -> Any:
        numbers = [np.int32(3), np.float32(0.5), np.float32(0), np.float32(6)]
        parameters = [relax.const(np.reshape(each, [1] * 5)) for each in numbers]
        return builder.emit_te(quantize.dequantize, x, *parameters, primfunc_name_hint="dequantize")

    tvm.ir.assert_structural_equal(module, function([tensor((1, 2, 4, 4, 8), "uint8")], expected))
    assert (value.block, value.layer, value.quantization) == (8, "first", None)


def test_integers_become_those_of_the_network() -> None:
    case = Case()
    _, module = after(case, case.argument(SHAPE, 8, "uint8", quantization=SCALED), "int8")

    def expected(builder: Any, x: Any) -> Any:
        def shifted(x: Any) -> Any:
            return tvm.te.compute(x.shape, lambda *index: (x(*index).astype("int32") - 128).astype("int8"))

        return builder.emit_te(shifted, x, primfunc_name_hint="shift")

    tvm.ir.assert_structural_equal(module, function([tensor((1, 2, 4, 4, 8), "uint8")], expected))


def test_a_constant_becomes_floats_at_once() -> None:
    value = realized(Case().context.emit, Value(relax.const(np.array([1, 5], np.int8)), (2,), 0, SCALED), "float32")
    assert value.constant is not None
    assert (value.dtype, value.constant.tolist()) == ("float32", [-1.0, 1.0])
