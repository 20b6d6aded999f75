"""The context's services to the rules: layouts, dtypes, and the account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.algorithms import direct
from dlas_ops.kernels.operators import layout, points_innermost
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.placement.value import Value
from dlas_ops.processor.targets import describe
from tests.dlas_ops.placement.before_after import SCALED, TARGET, Case, function, tensor
from tests.dlas_ops.small_networks import calls

relax = tvm.relax

CPU = describe(TARGET)
SHAPE = (1, 16, 4, 4)


@contextmanager
def emitting(case: Case) -> Iterator[list[Any]]:
    """Take what the block adds to a list as the outputs of the function that it emits to."""
    outputs: list[Any] = []
    builder = case.context.builder
    with builder.function("main", case.parameters):
        with builder.dataflow():
            yield outputs
            result = builder.emit_output(relax.Tuple(outputs))
        builder.emit_func_output(result)


def test_a_conversion_is_emitted_once_for_all_that_read_it() -> None:
    case = Case()
    value = case.context.held(case.argument(SHAPE, 8))
    with emitting(case) as outputs:
        outputs += [case.context.plain(value), case.context.blocked(value, 4), case.context.blocked(value, 8)]
        outputs += [case.context.plain(value), case.context.blocked(value, 4)]

    def expected(builder: Any, x: Any) -> Any:
        plain = builder.emit_te(lambda x: layout.unpack(x, SHAPE), x, primfunc_name_hint="unpack")
        other = builder.emit_te(lambda x: layout.pack(x, SHAPE, 4), x, primfunc_name_hint="pack")
        return relax.Tuple([plain, other, x, plain, other])

    after = case.context.builder.get()
    tvm.ir.assert_structural_equal(after, function([tensor((1, 2, 4, 4, 8))], expected))


def test_points_innermost_are_converted_from_and_to() -> None:
    case = Case()
    blocked, points = (case.context.held(case.argument(SHAPE, block)) for block in (8, POINTS))
    with emitting(case) as outputs:
        outputs += [case.context.blocked(blocked, POINTS), case.context.blocked(points, 8), case.context.plain(points)]

    def expected(builder: Any, x: Any, y: Any) -> Any:
        gathered = builder.emit_te(lambda x: points_innermost.gather(x, SHAPE, CPU), x, primfunc_name_hint="pack")
        scattered = builder.emit_te(lambda y: points_innermost.scatter(y, SHAPE, 8), y, primfunc_name_hint="pack")
        plain = builder.emit_te(lambda y: points_innermost.scatter(y, SHAPE), y, primfunc_name_hint="unpack")
        return relax.Tuple([gathered, scattered, plain])

    inputs = [tensor((1, 2, 4, 4, 8)), tensor((1, 16, 16))]
    tvm.ir.assert_structural_equal(case.context.builder.get(), function(inputs, expected))


def test_the_block_of_channels_is_that_of_a_value_or_of_what_is_asked_for_all_layers() -> None:
    context = Case("direct").context
    assert context.block(16) == direct.block(16, CPU)
    assert context.block(16, Value(tensor((1, 4, 4, 4, 4)), SHAPE, 4)) == 4
    assert context.block(16, Value(tensor((1, 16, 16)), SHAPE, POINTS)) == direct.block(16, CPU)


def test_an_expression_is_rewritten_over_plain_tensors() -> None:
    case = Case()
    x, y = case.argument(SHAPE, 8), case.argument(SHAPE, 0)
    with emitting(case) as outputs:
        outputs.append(case.context.rewritten(relax.Tuple([x, relax.op.add(x, y)])))
    assert calls(case.context.builder.get())[0] == "unpack"


def test_a_quantized_value_is_realized_as_the_network_declares_it() -> None:
    case = Case()
    data = case.argument(SHAPE, 8, "uint8", quantization=SCALED)
    with emitting(case) as outputs:
        value = case.context.value(data)
        outputs.append(value.expression)
    assert (value.dtype, value.quantization) == ("float32", None)
    assert calls(case.context.builder.get())[0] == "dequantize"
    assert case.context.held(data).quantization == SCALED


def test_values_that_do_not_broadcast_by_channel_are_not_alike() -> None:
    context = Case().context
    blocked, flat = Value(tensor((1, 2, 4, 4, 8)), SHAPE, 8), Value(tensor((1, 4)), (1, 4))
    assert context.alike([blocked, flat], SHAPE) == ([], 0, "")
    assert context.alike([flat], SHAPE) == ([], 0, "")


def test_weights_are_counted_until_their_layer_is_accounted_for() -> None:
    context = Case(narrow="float16").context
    context.weights(np.ones((4, 4), np.float32))
    context.weights(np.ones(4, np.int32))
    context.account("dense", (1, 4), (4, 4), (1, 4), ran="dense")
    context.account("max_pool2d", (1, 4), (), (1, 4), ran="window", asked="other", reason="why")
    first, second = context.layers
    assert (first.name, first.stored_bytes, first.asked) == ("dense_0", 4 * 4 * 2 + 4 * 4, "dense")
    assert (first.dtype, first.arithmetic) == ("float16", "float32 (the processor has no fast arithmetic in float16)")
    assert (second.name, second.stored_bytes, second.asked, second.reason) == ("max_pool2d_0", 0, "other", "why")


def test_layers_of_float32_have_its_arithmetic() -> None:
    context = Case().context
    context.account("dense", (1, 4), (4, 4), (1, 4), ran="dense", name="head")
    [layer] = context.layers
    assert (layer.name, layer.dtype, layer.arithmetic) == ("head", "float32", "float32")


def test_a_weight_beyond_the_range_of_half_is_refused() -> None:
    weights = np.array([1, 70_000], np.float32)
    with pytest.raises(ValueError, match=r"a weight of 70000 is beyond the range of float16"):
        Case(narrow="float16").context.weights(weights)
    Case().context.weights(weights)
