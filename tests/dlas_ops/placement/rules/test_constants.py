"""Operators on constants before and after they are placed: nothing is left of them but their result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.placement.rules import constants
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.placement.before_after import Case

relax = tvm.relax

ARRAY = networks.random((2, 3, 4))
CONSTANT = relax.const(ARRAY)


@pytest.mark.parametrize(("call", "expected"), [
    (relax.op.reshape(CONSTANT, (6, 4)), ARRAY.reshape(6, 4)),
    (relax.op.expand_dims(CONSTANT, 1), ARRAY[:, None]),
    (relax.op.permute_dims(CONSTANT), ARRAY.transpose()),
    (relax.op.permute_dims(CONSTANT, (1, 0, 2)), ARRAY.transpose(1, 0, 2)),
    (relax.op.isnan(CONSTANT), np.zeros_like(ARRAY, bool)),
    (relax.op.where(relax.const(ARRAY > 0), CONSTANT, relax.const(-ARRAY)), np.abs(ARRAY)),
])  # fmt: skip
def test_numpy_computes_them(call: Any, expected: networks.Array) -> None:
    value = Case().becomes(constants.folded, call, lambda builder: relax.const(expected))
    assert (value.shape, value.block) == (expected.shape, 0)


def test_a_tensor_that_is_not_known_is_left() -> None:
    case = Case()
    case.is_left(constants.folded, relax.op.reshape(case.argument((2, 3, 4)), (6, 4)))


def test_another_operator_is_left() -> None:
    Case().is_left(constants.folded, relax.op.exp(CONSTANT))
