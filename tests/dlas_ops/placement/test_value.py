"""Values of the network's tensors, and what their integers stand for."""

from __future__ import annotations

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.placement.value import Quantization, Value, dtype_of, shape_of
from tests.dlas_ops.placement.before_after import SCALED, tensor

relax = tvm.relax


def test_quantizations_are_equal_by_their_numbers() -> None:
    same = Quantization(np.full((1, 1, 1, 1), 0.5, np.float32), np.full((1,), 3, np.int32))
    assert same == SCALED
    assert same != Quantization(same.scale, same.zero, low=0.0)
    assert same != Quantization(same.scale)
    assert same != "same"


def test_one_scale_and_zero_point_serve_a_whole_tensor() -> None:
    assert SCALED.per_tensor
    assert not Quantization(np.ones((1, 2, 1, 1), np.float32)).per_tensor
    assert not Quantization(SCALED.scale, np.zeros((1, 2, 1, 1), np.int32)).per_tensor


def test_a_constant_is_known_and_a_variable_is_not() -> None:
    array = np.arange(6, dtype=np.int8).reshape(2, 3)
    known = Value(relax.const(array), (2, 3))
    assert known.constant is not None
    np.testing.assert_array_equal(known.constant, array)
    assert known.dtype == "int8"
    assert Value(tensor((2, 3)), (2, 3)).constant is None


def test_the_shape_and_the_dtype_of_expressions() -> None:
    assert (shape_of(tensor((2, 3), "float16")), dtype_of(tensor((2, 3), "float16"))) == ((2, 3), "float16")
    assert (shape_of(relax.const(1.5)), dtype_of(relax.const(1.5))) == ((), "float32")
    outputs = relax.Var("outputs", relax.TupleType([tensor((2, 3)).ty]))
    assert (shape_of(outputs), dtype_of(outputs)) == ((), "")
