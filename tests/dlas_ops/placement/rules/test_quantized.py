"""Operators on 8-bit integers before and after they are placed."""

from __future__ import annotations

from operator import add, mul
from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.algorithms import direct
from dlas_ops.kernels.operators import dense, layout, pooling, quantize
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.rules import quantized
from dlas_ops.placement.value import Quantization
from dlas_ops.processor.targets import describe
from tests.dlas_ops.placement.before_after import EPILOGUE, SCALED, TARGET, Case, bounded, quantization, with_bound

relax = tvm.relax

CPU = describe(TARGET)
SHAPE = (1, 16, 6, 6)
CONV = Conv(1, 16, 6, 6, 24, (3, 3), padding=(1, 1, 1, 1))
WEIGHT = np.random.default_rng(0).integers(-128, 128, (24, 16, 3, 3)).astype(np.int8)
SCALES = np.random.default_rng(1).uniform(0.01, 0.02, (24, 1, 1, 1)).astype(np.float32)
SUMS = quantization([0.5, 0.25], [3, 4])
OTHER = quantization(0.25, 9)


def constant(case: Case, array: Any, stands_for: Quantization) -> Any:
    """Return a variable of the network that stands for a quantized constant."""
    variable = case.argument(array.shape, 0, str(array.dtype), quantization=stands_for)
    case.parameters.pop()
    held = case.context.values[variable]
    case.context.values[variable] = type(held)(relax.const(array), array.shape, 0, stands_for)
    return variable


def test_a_convolution_returns_the_exact_sums() -> None:
    case = Case("direct")
    data = case.argument(SHAPE, direct.block(16, CPU), "uint8", quantization=SCALED)
    weight = constant(case, WEIGHT, Quantization(SCALES))
    call = relax.op.nn.conv2d(data, weight, padding=(1, 1, 1, 1))

    def expected(builder: Any, x: Any) -> Any:
        packed = relax.const(direct.pack(WEIGHT, CONV, CPU))
        return builder.emit_te(
            lambda x, w: direct.compute(CONV, x, w, CPU, border=3), x, packed, primfunc_name_hint="conv2d_direct",
            primfunc_attrs=EPILOGUE,
        )  # fmt: skip

    value = case.becomes(quantized.conv, call, expected)
    offset = 3 * WEIGHT.sum(axis=(1, 2, 3), dtype=np.int32).reshape(1, -1, 1, 1)
    assert value.quantization == Quantization(0.5 * SCALES.reshape(1, -1, 1, 1), offset)
    [layer] = case.context.layers
    assert (layer.dtype, layer.ran, layer.reason) == ("int8", "direct/dense", "")


def test_a_convolution_of_floats_is_left() -> None:
    case = Case()
    weight = constant(case, WEIGHT, Quantization(SCALES))
    case.is_left(quantized.conv, relax.op.nn.conv2d(case.argument(SHAPE, 8), weight))


def test_a_bias_moves_the_zero_of_sums() -> None:
    case, bias = Case(), np.array([1, -2], np.float32).reshape(1, 2, 1, 1)
    call = relax.op.add(case.argument((1, 2, 6, 6), 8, "int32", quantization=SUMS), relax.const(bias))
    value = case.becomes(quantized.add, call, lambda builder, x: x)
    assert value.quantization == quantization([0.5, 0.25], [3 - 2, 4 + 8])


def test_relu_and_clip_bound_sums() -> None:
    case = Case()
    call = relax.op.nn.relu(case.argument((1, 2, 6, 6), 8, "int32", quantization=SUMS))
    value = case.becomes(quantized.relu, call, lambda builder, x: x)
    assert value.quantization is not None
    assert (value.quantization.low, value.quantization.high) == (0, np.inf)
    module = with_bound(tvm.tirx.min, (1, 2, 6, 6))
    case = Case(module=module)
    data = case.argument((1, 2, 6, 6), 8, "int32", quantization=value.quantization)
    value = case.becomes(quantized.clip_bound, bounded(module, data, 6.0), lambda builder, x: x)
    assert value.quantization is not None
    assert (value.quantization.low, value.quantization.high) == (0, 6)


def test_bounds_of_floats_are_left() -> None:
    case = Case()
    case.is_left(quantized.relu, relax.op.nn.relu(case.argument(SHAPE, 8)))


@pytest.mark.parametrize(("rule", "operator", "combine"), [
    (quantized.add, relax.op.add, add), (quantized.multiply, relax.op.multiply, mul),
])  # fmt: skip
@pytest.mark.parametrize("shape", [SHAPE, (1, 16, 1, 1)])
def test_two_tensors_are_joined_as_floats_in_one_program(
    rule: Any, operator: Any, combine: Any, shape: tuple[int, ...]
) -> None:
    case = Case()
    one = case.argument(SHAPE, 8, "uint8", quantization=SCALED)
    other = case.argument(shape, 8, "uint8", quantization=OTHER)

    def expected(builder: Any, x: Any, y: Any) -> Any:
        stands = [each.reshape([1] * 5) for held in (SCALED, OTHER) for each in (held.zero, held.scale)]
        attributes = {} if shape == SHAPE else {"primfunc_attrs": EPILOGUE}
        return builder.emit_te(
            lambda *x: quantize.joined(combine, *x), x, y, *map(relax.const, stands),
            primfunc_name_hint=operator.__name__, **attributes,
        )  # fmt: skip

    value = case.becomes(rule, operator(one, other), expected)
    assert (value.dtype, value.quantization) == ("float32", None)


@pytest.mark.parametrize("leading", [(1,), (2, 3), (2, 1, 3)])
def test_a_dense_layer_returns_the_exact_sums(leading: tuple[int, ...]) -> None:
    case, weight = Case(), WEIGHT[:, :, 0, 0].T
    call = relax.op.matmul(
        case.argument((*leading, 16), 0, "uint8", quantization=SCALED),
        constant(case, weight, Quantization(SCALES.reshape(1, 24))),
    )
    value = case.becomes(
        quantized.matmul, call, lambda builder, x: builder.emit_te(
            lambda x, w: dense.compute(x, w, 24, CPU), x, relax.const(dense.pack(weight, CPU)),
            primfunc_name_hint="dense", primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip
    offset = 3 * weight.sum(axis=0, dtype=np.int32).reshape(1, -1)
    assert value.quantization is not None
    assert value.quantization == Quantization(0.5 * SCALES.reshape(1, 24), offset)
    assert value.quantization.zero.ndim == len(leading) + 1
    [layer] = case.context.layers
    assert (layer.operator, layer.ran, layer.dtype) == ("dense", "gemm/dense", "int8")


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pooling_of_integers(kind: str) -> None:
    case = Case()
    data = case.argument(SHAPE, 8, "uint8", quantization=SCALED)
    window = Conv(1, 16, 6, 6, 16, (2, 2), (2, 2), groups=16)
    call = getattr(relax.op.nn, f"{kind}_pool2d")(data, (2, 2), (2, 2))
    value = case.becomes(
        getattr(quantized, f"{kind}_pool2d"), call, lambda builder, x: builder.emit_te(
            lambda x: pooling.compute(window, x, kind, False, CPU, 3), x, primfunc_name_hint=f"{kind}_pool2d",
            primfunc_attrs=EPILOGUE,
        ),
    )  # fmt: skip
    # An average is a sum of 4 integers.
    assert value.quantization == (SCALED if kind == "max" else quantization(0.5 / 4, 3 * 4))


def test_an_average_that_does_not_count_the_border_is_left() -> None:
    case = Case()
    data = case.argument(SHAPE, 8, "uint8", quantization=SCALED)
    case.is_left(quantized.avg_pool2d, relax.op.nn.avg_pool2d(data, (2, 2), padding=(1, 1, 1, 1)))


def test_a_mean_is_a_sum() -> None:
    case = Case()
    call = relax.op.mean(case.argument(SHAPE, 8, "uint8", quantization=SCALED), [2, 3], keepdims=True)
    value = case.becomes(
        quantized.mean, call, lambda builder, x: builder.emit_te(
            lambda x: pooling.mean(x, 16, CPU), x, primfunc_name_hint="global_avg_pool2d", primfunc_attrs=EPILOGUE
        ),
    )  # fmt: skip
    assert value.quantization == quantization(0.5 / 36, 3 * 36)


@pytest.mark.parametrize("second", [SCALED, OTHER])
def test_integers_are_concatenated_as_they_are(second: Quantization) -> None:
    case = Case()
    parts = [case.argument(SHAPE, 8, "uint8", quantization=held) for held in (SCALED, second)]
    block = case.context.block(32)
    value = case.becomes(
        quantized.concat, relax.op.concat(relax.Tuple(parts), axis=1), lambda builder, x, y: builder.emit_te(
            lambda *x: layout.concatenate(x, [16, 16], block, CPU.lanes()), x, y, primfunc_name_hint="concat"
        ),
    )  # fmt: skip
    assert value.quantization is not None
    if second is SCALED:
        assert value.quantization == SCALED
    else:
        assert value.quantization.scale.ravel().tolist() == [0.5] * 16 + [0.25] * 16
        assert value.quantization.zero.ravel().tolist() == [3] * 16 + [9] * 16


def test_a_part_of_floats_keeps_others_from_being_concatenated_as_integers() -> None:
    case = Case()
    parts = [case.argument(SHAPE, 8, "uint8", quantization=SCALED), case.argument(SHAPE, 8)]
    case.is_left(quantized.concat, relax.op.concat(relax.Tuple(parts), axis=1))


@pytest.mark.parametrize("axes", [None, (1, 0)])
@pytest.mark.parametrize("scale", [SCALES.reshape(24, 1), SCALED.scale])
def test_constants_are_transposed_with_their_scales(axes: tuple[int, int] | None, scale: Any) -> None:
    case, weight = Case(), WEIGHT[:, :, 0, 0]
    call = relax.op.permute_dims(constant(case, weight, Quantization(scale)), axes)
    moved = np.ascontiguousarray(weight.T)
    value = case.becomes(quantized.reshape, call, lambda builder: relax.const(moved))
    assert value.quantization is not None
    np.testing.assert_array_equal(value.quantization.scale, scale.T.reshape(1, -1))


def test_constants_are_reshaped_with_one_scale() -> None:
    case, weight = Case(), WEIGHT[:, :, 0, 0]
    call = relax.op.reshape(constant(case, weight, SCALED), (16, 24))
    value = case.becomes(quantized.reshape, call, lambda builder: relax.const(weight.reshape(16, 24)))
    assert value.quantization == SCALED


def test_a_tensor_of_one_scale_is_reshaped_and_not_transposed() -> None:
    case = Case()
    data = case.argument((1, 16), 0, "uint8", quantization=SCALED)
    value = case.becomes(
        quantized.reshape, relax.op.reshape(data, (4, 4)), lambda builder, x: builder.emit(relax.op.reshape(x, (4, 4)))
    )
    assert value.quantization == SCALED
    case = Case()
    data = case.argument((1, 16), 0, "uint8", quantization=SCALED)
    case.is_left(quantized.reshape, relax.op.permute_dims(data))


def test_integers_in_no_blocks_are_moved_as_they_are() -> None:
    case = Case("direct")
    data = case.argument((2, 6, 4), 0, "uint8", quantization=SCALED)
    value = case.becomes(
        quantized.moved,
        relax.op.permute_dims(data, [0, 2, 1]),
        lambda builder, x: builder.emit(relax.op.permute_dims(x, [0, 2, 1])),
    )
    assert (value.shape, value.quantization) == ((2, 4, 6), SCALED)


def test_integers_in_blocks_are_moved_as_floats() -> None:
    """A norm over channels may follow, which runs in blocks of floats."""
    case = Case("direct")
    data = case.argument(SHAPE, 16, "uint8", quantization=SCALED)
    case.is_left(quantized.moved, relax.op.permute_dims(data, [0, 2, 3, 1]))
