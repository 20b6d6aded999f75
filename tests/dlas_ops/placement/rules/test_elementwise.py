"""Element-wise operators before and after they are placed."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import layout
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.shared.activations import silu
from dlas_ops.placement.rules import elementwise
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.placement.before_after import Case, bounded, with_bound

relax = tvm.relax

SHAPE = (1, 16, 4, 4)


def test_an_operator_keeps_the_layout_of_its_argument() -> None:
    case = Case()
    call = relax.op.nn.relu(case.argument(SHAPE, 8, layer="first"))
    value = case.becomes(elementwise.broadcast, call, lambda builder, x: builder.emit(relax.op.nn.relu(x)))
    assert (value.shape, value.block, value.layer) == (SHAPE, 8, "first")


def test_a_constant_per_channel_is_packed() -> None:
    case, bias = Case(), networks.random((16, 1, 1))
    call = relax.op.add(case.argument(SHAPE, 8), relax.const(bias))
    packed = layout.pack_constant(bias, 8)
    case.becomes(elementwise.broadcast, call, lambda builder, x: builder.emit(relax.op.add(x, relax.const(packed))))


def test_the_other_argument_is_brought_into_the_layout_of_the_last_layer() -> None:
    case = Case()
    call = relax.op.add(case.argument(SHAPE, 0), case.argument(SHAPE, 8))

    def expected(builder: Any, x: Any, y: Any) -> Any:
        packed = builder.emit_te(lambda x: layout.pack(x, SHAPE, 8), x, primfunc_name_hint="pack")
        return builder.emit(relax.op.add(packed, y))

    case.becomes(elementwise.broadcast, call, expected)


def test_an_operator_on_plain_tensors_is_left() -> None:
    case = Case()
    case.is_left(elementwise.broadcast, relax.op.nn.relu(case.argument(SHAPE)))


def test_an_operator_that_is_not_elementwise_is_left() -> None:
    case = Case()
    case.is_left(elementwise.broadcast, relax.op.nn.softmax(case.argument(SHAPE, 8)))


def test_half_is_computed_in_float32_and_rounded() -> None:
    case = Case(narrow="float16")
    call = relax.op.nn.relu(case.argument(SHAPE, 8, "float16"))

    def expected(builder: Any, x: Any) -> Any:
        wide = builder.emit(relax.op.nn.relu(builder.emit(relax.op.astype(x, "float32"))))
        return builder.emit(relax.op.astype(wide, "float16"))

    value = case.becomes(elementwise.broadcast, call, expected)
    assert value.wide is not None


def test_batch_norm_is_a_multiplication_and_an_addition() -> None:
    case, rng = Case(), np.random.default_rng(0)
    gamma, beta, mean, variance = (rng.uniform(0.5, 1.5, 16).astype(np.float32) for _ in range(4))
    arguments = [relax.const(each) for each in (gamma, beta, mean, variance)]
    call = relax.op.nn.batch_norm(case.argument(SHAPE, 8), *arguments, axis=1, epsilon=1e-5)
    scale = (gamma / np.sqrt(variance + 1e-5)).astype(np.float32)

    def expected(builder: Any, x: Any) -> Any:
        factor, term = (layout.pack_constant(each.reshape(16, 1, 1), 8) for each in (scale, beta - mean * scale))
        return builder.emit(relax.op.add(builder.emit(relax.op.multiply(x, relax.const(factor))), relax.const(term)))

    value = case.becomes(elementwise.batch_norm, call, expected)
    assert (value.shape, value.block) == (SHAPE, 8)


def test_batch_norm_of_unknown_statistics_is_left() -> None:
    case = Case()
    known = [relax.const(np.ones(16, np.float32)) for _ in range(3)]
    call = relax.op.nn.batch_norm(case.argument(SHAPE, 8), case.argument((16,)), *known, axis=1)
    case.is_left(elementwise.batch_norm, call)


def test_the_first_output_of_a_batch_norm_is_its_value() -> None:
    case = Case()
    field = relax.TensorType(SHAPE, "float32")
    outputs = relax.Var("outputs", relax.TupleType([field, relax.TensorType((16,), "float32")]))
    data = case.context.values[case.argument(SHAPE, 8)]
    case.context.values[outputs] = data
    value = case.becomes(elementwise.first_of_batch_norm, relax.TupleGetItem(outputs, 0), lambda builder, x: x)
    assert value is data


def test_a_minimum_in_place_of_clip_keeps_any_layout() -> None:
    module = with_bound(tvm.tirx.min, SHAPE)
    case = Case(module=module)
    call = bounded(module, case.argument(SHAPE, POINTS), 6.0)
    value = case.becomes(
        elementwise.clip_bound, call, lambda builder, x: builder.emit(relax.op.minimum(x, relax.const(6.0)))
    )
    assert value.block == POINTS


def test_another_program_is_left() -> None:
    module = with_bound(lambda x, bound: x + bound, SHAPE)
    case = Case(module=module)
    case.is_left(elementwise.clip_bound, bounded(module, case.argument(SHAPE, 8), 6.0))


def test_an_activation_is_our_program_in_any_layout() -> None:
    case = Case()
    call = relax.op.nn.silu(case.argument(SHAPE, POINTS))
    value = case.becomes(
        elementwise.activation, call, lambda builder, x: builder.emit_te(silu, x, primfunc_name_hint="silu")
    )
    assert value.block == POINTS


def test_prelu_is_what_lies_above_and_a_multiple_of_what_lies_below() -> None:
    case, slope = Case(), networks.random((16,))
    call = relax.op.nn.prelu(case.argument(SHAPE, 8), relax.const(slope), axis=1)

    def expected(builder: Any, x: Any) -> Any:
        zero, factor = relax.const(0.0), relax.const(layout.pack_constant(slope.reshape(16, 1, 1), 8))
        below = builder.emit(relax.op.multiply(builder.emit(relax.op.minimum(x, zero)), factor))
        return builder.emit(relax.op.add(builder.emit(relax.op.maximum(x, zero)), below))

    case.becomes(elementwise.prelu, call, expected)
