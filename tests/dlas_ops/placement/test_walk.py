"""A network before and after its operators are placed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.algorithms import direct
from dlas_ops.kernels.operators import layout, pooling
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement import walk
from dlas_ops.placement.context import Context
from dlas_ops.placement.operators import Operator
from dlas_ops.placement.rules import convolutions, elementwise, quantized
from dlas_ops.placement.rules.rule import Rule
from dlas_ops.placement.value import Value
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.placement.before_after import EPILOGUE, NAMES, SCALED, TARGET, Case, function, tensor

relax = tvm.relax

CPU = describe(TARGET)
CONV = Conv(1, 3, 6, 6, 16, (3, 3), padding=(1, 1, 1, 1))
WEIGHT = networks.weights_of(CONV)
BIAS = networks.random((1, 16, 1, 1))
OUT = (1, 16, 6, 6)


def placed(body: Any, narrow: str = "") -> Any:
    module = function([tensor((1, 3, 6, 6))], body)
    return walk.place(module, TARGET, Choices("direct"), NAMES, narrow)[0]


def test_a_network_stays_in_one_layout_from_its_convolution_to_what_needs_another() -> None:
    def before(builder: Any, x: Any) -> Any:
        sums = builder.emit(relax.op.nn.conv2d(x, relax.const(WEIGHT), padding=(1, 1, 1, 1)))
        biased = builder.emit(relax.op.add(sums, relax.const(BIAS)))
        pooled = builder.emit(relax.op.nn.max_pool2d(builder.emit(relax.op.nn.relu(biased)), (2, 2), (2, 2)))
        return relax.op.nn.softmax(pooled)

    def after(builder: Any, x: Any) -> Any:
        block, window = direct.block(16, CPU), Conv(1, 16, 6, 6, 16, (2, 2), (2, 2), groups=16)
        sums = builder.emit_te(
            lambda x, w: direct.compute(CONV, x, w, CPU), x, relax.const(direct.pack(WEIGHT, CONV, CPU)),
            primfunc_name_hint="conv2d_direct", primfunc_attrs=EPILOGUE,
        )  # fmt: skip
        biased = builder.emit(relax.op.add(sums, relax.const(layout.pack_constant(BIAS, block))))
        pooled = builder.emit_te(
            lambda x: pooling.compute(window, x, "max", False, CPU), builder.emit(relax.op.nn.relu(biased)),
            primfunc_name_hint="max_pool2d", primfunc_attrs=EPILOGUE,
        )  # fmt: skip
        plain = builder.emit_te(lambda x: layout.unpack(x, (1, 16, 3, 3)), pooled, primfunc_name_hint="unpack")
        return builder.emit(relax.op.nn.softmax(plain))

    tvm.ir.assert_structural_equal(placed(before), function([tensor((1, 3, 6, 6))], after))


def test_layers_that_are_joined_in_half_are_joined_before_they_are_rounded() -> None:
    def before(builder: Any, x: Any) -> Any:
        one, other = (
            builder.emit(relax.op.nn.conv2d(x, relax.const(weight), padding=(1, 1, 1, 1)))
            for weight in (WEIGHT, -WEIGHT)
        )
        return relax.op.add(one, other)

    def after(builder: Any, x: Any) -> Any:
        stored, sums = builder.emit(relax.op.astype(x, "float16")), []
        for weight in (WEIGHT, -WEIGHT):
            packed = direct.pack(weight, CONV, CPU).astype(np.float16)
            result = builder.emit_te(
                lambda x, w: direct.compute(CONV, x, w, CPU), stored, relax.const(packed),
                primfunc_name_hint="conv2d_direct", primfunc_attrs=EPILOGUE,
            )  # fmt: skip
            builder.emit(relax.op.astype(result, "float16"))  # for readers that are not element-wise
            sums.append(result)
        joined = builder.emit(relax.op.astype(builder.emit(relax.op.add(*sums)), "float16"))
        plain = builder.emit_te(lambda x: layout.unpack(x, OUT), joined, primfunc_name_hint="unpack")
        return builder.emit(relax.op.astype(plain, "float32"))

    tvm.ir.assert_structural_equal(placed(before, narrow="float16"), function([tensor((1, 3, 6, 6))], after))


def test_the_first_rule_that_applies_places_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [Value(tensor((1,)), (1,)) for _ in range(2)]
    asked: list[str] = []

    def rule(name: str, value: Value | None) -> Rule:
        def applied(context: Context, operator: Operator) -> Value | None:
            asked.append(name)
            return value

        return applied

    rules = (rule("first", None), rule("second", values[0]), rule("third", values[1]))
    monkeypatch.setattr(walk, "RULES", rules)
    operator = Operator("relax.exp", relax.op.exp(tensor((1,))), (1,))
    assert walk.placed(Case().context, operator) is values[0]
    assert asked == ["first", "second"]


def test_integers_come_before_floats_and_what_places_everything_last() -> None:
    order = list(walk.RULES)
    for integers, floats in ((quantized.conv, convolutions.conv), (quantized.add, elementwise.broadcast)):
        assert order.index(integers) < order.index(floats)
    assert order[-1] is walk.unchanged
    assert len(set(order)) == len(order)


def test_an_operator_without_a_rule_runs_as_it_is_on_plain_tensors() -> None:
    case = Case()
    call = relax.op.nn.softmax(case.argument(OUT, 8))

    def expected(builder: Any, x: Any) -> Any:
        plain = builder.emit_te(lambda x: layout.unpack(x, OUT), x, primfunc_name_hint="unpack")
        return builder.emit(relax.op.nn.softmax(plain))

    assert case.becomes(walk.unchanged, call, expected).block == 0


def test_a_function_of_integers_has_a_table() -> None:
    case = Case()
    call = relax.op.sigmoid(case.argument(OUT, 8, "uint8", quantization=SCALED))
    value, _ = case.place(walk.placed, call)
    assert value is not None
    assert value.table is not None
    reals = 0.5 * (np.arange(256) - 3.0)
    np.testing.assert_allclose(value.table.entries, 1 / (1 + np.exp(-reals)), rtol=1e-6)
