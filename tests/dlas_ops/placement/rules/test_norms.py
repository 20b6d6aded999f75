"""Norms before and after they are placed."""

from __future__ import annotations

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.placement.operators import Operator, name_of
from dlas_ops.placement.rules import norms
from dlas_ops.placement.value import shape_of
from tests.dlas_ops.placement.before_after import Case, tensor

relax = tvm.relax

SHAPE, TURNED = (1, 16, 4, 5), (1, 4, 5, 16)


def test_channels_turned_there_and_back_cost_nothing() -> None:
    case = Case()
    data = case.argument(SHAPE, 8, layer="first")
    builder = case.context.builder
    with builder.function("main", case.parameters):
        with builder.dataflow():
            there = builder.normalize(relax.op.permute_dims(data, [0, 2, 3, 1]))
            turned = norms.turned(case.context, Operator(name_of(there), there, shape_of(there)))
            assert turned is not None
            variable = tensor(TURNED)
            case.context.values[variable] = turned
            back = builder.normalize(relax.op.permute_dims(variable, [0, 3, 1, 2]))
            value = norms.turned(case.context, Operator(name_of(back), back, shape_of(back)))
            result = builder.emit_output(turned.expression)
        builder.emit_func_output(result)
    assert value is not None
    assert value.expression.same_as(case.context.values[data].expression)
    assert (value.shape, value.block, value.layer) == (SHAPE, 8, "first")


def test_a_transposition_of_a_plain_tensor_is_left() -> None:
    case = Case()
    case.is_left(norms.turned, relax.op.permute_dims(case.argument(SHAPE), [0, 2, 3, 1]))


def test_a_layer_norm_of_a_plain_tensor_is_left() -> None:
    case, ones = Case(), relax.const(np.ones(16, np.float32))
    case.is_left(norms.layer_norm, relax.op.nn.layer_norm(case.argument(TURNED), ones, ones, axes=[-1]))


def test_a_variance_over_channels_is_left() -> None:
    case = Case()
    case.is_left(norms.variance, relax.op.variance(case.argument(SHAPE, 8), [1]))


def test_a_reshape_of_no_norm_is_left() -> None:
    case = Case()
    case.is_left(norms.group_norm, relax.op.reshape(case.argument((1, 4, 80)), SHAPE))
