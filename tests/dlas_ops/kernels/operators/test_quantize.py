"""Floats ↔ 8-bit integers, against the NumPy reference on drawn numbers; each program is compiled once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import tvm_ffi
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, BufferLoad, Library, Shape, Tensor
from dlas_ops.kernels.operators import quantize
from dlas_ops.kernels.shared import reference
from tests.dlas_ops import small_networks as networks

te = tvm.te

SHAPE = (2, 3, 4)
BY_CHANNEL = (1, 3, 1)
ONE = (1, 1, 1)
LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}
SEEDS = st.integers(0, 2**32 - 1)


# Operator → the dtypes and shapes of its tensors, "" for the dtype of the integers, and the computation.
OPERATORS: dict[str, tuple[list[tuple[str, Shape]], Callable[..., Tensor]]] = {
    "quantize": (
        [("float32", SHAPE), ("float32", ONE), ("int32", ONE), ("float32", ONE), ("float32", ONE)],
        lambda dtype, data, *others: quantize.quantize(data, dtype, *others),
    ),
    "requantize": (
        [
            ("int32", SHAPE), ("int32", BY_CHANNEL), ("float32", BY_CHANNEL), ("int32", ONE), ("float32", ONE),
            ("float32", ONE),
        ],
        lambda dtype, sums, *others: quantize.requantize(sums, dtype, *others),
    ),
    "dequantize": (
        [("", SHAPE), ("int32", ONE), ("float32", BY_CHANNEL), ("float32", ONE), ("float32", ONE)],
        lambda dtype, *tensors: quantize.dequantize(*tensors),
    ),
    "look_up": (
        [("", SHAPE), ("float32", (256,))],
        lambda dtype, data, table: quantize.look_up(data, table, LIMITS[dtype][0]),
    ),
    "joined": (
        [("", SHAPE), ("", BY_CHANNEL), *[("int32", ONE), ("float32", ONE)] * 2],
        lambda dtype, *tensors: quantize.joined(lambda one, other: one - other, *tensors),
    ),
}  # fmt: skip


@cache
def library(name: str, dtype: str) -> tuple[Library, str]:
    """Return what computes the operator `name` on integers of `dtype`, and the dtype of its result."""
    kinds, compute = OPERATORS[name]
    inputs = [te.placeholder(shape, kind or dtype, f"input_{index}") for index, (kind, shape) in enumerate(kinds)]
    output = compute(dtype, *inputs)
    function = te.create_prim_func([*inputs, output])
    return tvm.compile(tvm.IRModule({"main": function}), networks.target()), str(output.dtype)


def computed(name: str, dtype: str, *arrays: Array) -> Array:
    built, kind = library(name, dtype)
    held = [tvm.runtime.tensor(array) for array in (*arrays, np.zeros(SHAPE, kind))]
    built["main"](*held)
    return np.asarray(held[-1].numpy())


def one(value: float, dtype: str = "float32") -> Array:
    return np.full(ONE, value, dtype)


def bounds(dtype: str, zero: int) -> tuple[Array, Array]:
    """Return what keeps a rounded quotient within the integers of `dtype` when `zero` is added."""
    least, most = LIMITS[dtype]
    return one(least - zero), one(most - zero)


@pytest.mark.parametrize("dtype", LIMITS)
@given(SEEDS, st.floats(2**-10, 8.0, width=32), st.integers(0, 255))
def test_floats_are_divided_rounded_to_even_and_saturate(dtype: str, seed: int, scale: float, shifted: int) -> None:
    least, most = LIMITS[dtype]
    zero, drawn = shifted + least, np.random.default_rng(seed)
    data = np.where(  # halves, that go to the even integer, and any numbers, some beyond the range
        drawn.random(SHAPE) < 0.5, (drawn.integers(-400, 400, SHAPE) + 0.5) * scale, drawn.normal(0, 300 * scale, SHAPE)
    ).astype(np.float32)
    found = computed("quantize", dtype, data, one(scale), one(zero, "int32"), *bounds(dtype, zero))
    assert str(found.dtype) == dtype
    np.testing.assert_array_equal(found, reference.quantize(data, scale, zero, least, most))


@pytest.mark.parametrize("dtype", LIMITS)
@given(SEEDS, st.integers(0, 255))
def test_sums_are_scaled_by_channel_and_rounded(dtype: str, seed: int, shifted: int) -> None:
    least, most = LIMITS[dtype]
    zero, drawn = shifted + least, np.random.default_rng(seed)
    sums = drawn.integers(-(2**20), 2**20, SHAPE).astype(np.int32)
    offset = drawn.integers(-(2**20), 2**20, BY_CHANNEL).astype(np.int32)
    factor = drawn.uniform(1e-5, 1e-3, BY_CHANNEL).astype(np.float32)
    found = computed("requantize", dtype, sums, offset, factor, one(zero, "int32"), *bounds(dtype, zero))
    exact = sums.astype(np.int64) - offset
    np.testing.assert_array_equal(found, reference.requantize(exact, factor, zero, least, most))


def test_the_rounded_number_stays_within_other_bounds() -> None:
    """A ReLU that follows is the lower bound 0, a clip both."""
    data = np.linspace(-9, 9, 24, dtype=np.float32).reshape(SHAPE)
    found = computed("quantize", "uint8", data, one(1.0), one(100, "int32"), one(0), one(6))
    np.testing.assert_array_equal(found, 100 + np.clip(np.rint(data), 0, 6))


def integers(dtype: str, seed: int, shape: Shape = SHAPE) -> Array:
    return np.random.default_rng(seed).integers(*LIMITS[dtype], shape, endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype", LIMITS)
@given(SEEDS, st.integers(-128, 255))
def test_integers_become_the_floats_that_they_stand_for(dtype: str, seed: int, zero: int) -> None:
    data, scale = integers(dtype, seed), np.array([0.5, 0.01, 3], np.float32).reshape(BY_CHANNEL)
    found = computed("dequantize", dtype, data, one(zero, "int32"), scale, one(-20), one(30))
    expected = np.clip((data.astype(np.int32) - zero).astype(np.float32) * scale, -20, 30)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", LIMITS)
@given(SEEDS)
def test_every_integer_has_its_entry_in_a_table(dtype: str, seed: int) -> None:
    data, table = integers(dtype, seed), networks.random([256], seed)
    found = computed("look_up", dtype, data, table)
    np.testing.assert_array_equal(found, table[data.astype(int) - LIMITS[dtype][0]])


@pytest.mark.parametrize("dtype", LIMITS)
@given(SEEDS, st.integers(-128, 255), st.integers(-128, 255))
def test_tensors_are_joined_as_what_they_stand_for(dtype: str, seed: int, zero: int, other_zero: int) -> None:
    """The second broadcasts against the first."""
    data, other = integers(dtype, seed), integers(dtype, seed + 1, BY_CHANNEL)
    stands = one(zero, "int32"), one(0.25), one(other_zero, "int32"), one(0.5)
    found = computed("joined", dtype, data, other, *stands)
    expected = (data.astype(np.int32) - zero) * 0.25 - (other.astype(np.int32) - other_zero) * 0.5
    np.testing.assert_array_equal(found, expected)


def test_a_tensor_joined_with_itself_is_read_at_one_index() -> None:
    """Where it has one element along an axis, TVM would otherwise take it for two accesses and not fuse it."""
    data = te.placeholder((1, 4), "int8", "data")
    stands = [te.placeholder((1, 1), dtype, f"stands_{i}") for i, dtype in enumerate(("int32", "float32") * 2)]
    joined = quantize.joined(lambda one, other: one + other, data, data, *stands)
    places: list[str] = []

    def visit(load: BufferLoad) -> None:
        if load.source.name == "data":
            places.append(str(load))

    tvm_ffi.structural_walk(te.create_prim_func([data, *stands, joined]).body, (tvm.ir.TensorLoad, visit))
    assert len(places) == 2
    assert len(set(places)) == 1
