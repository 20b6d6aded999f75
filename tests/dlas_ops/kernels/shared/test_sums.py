"""Sums of products in one reduction or in parts, against NumPy's: of floats, integers in groups, and float16."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Expr, Tensor
from dlas_ops.kernels.shared.sums import summed
from dlas_ops.processor import half
from dlas_ops.processor.dot import Dot, dot_of
from dlas_ops.processor.half import PARTIAL
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.tiling import Tile
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS
from tests.dlas_ops.tensor_programs import computed, placeholders

te = tvm.te

DOTS = {
    "float32": Dot(),
    "int8 in fours": dot_of("int8", describe(named("znver4"))),
    "int8 in pairs": dot_of("int8", describe(named("x86-64-v3"))),
    "int8 one by one": dot_of("int8", describe(named("cortex-a72"))),
    "float16": dot_of("float16", describe(named("sapphirerapids")), half=True),
}


def product_of(data: Tensor, weight: Tensor, dot: Dot, kind: str = "direct") -> Tensor:
    """Return the sums over a, b and the values in a group of data (row, a, b, values) x weight (a, b, column, values).

    A group of one value has no last axis.
    """
    rows, a, b = (int(size) for size in data.shape[:3])

    def operands(index: Sequence[Expr], step: Sequence[Expr], value: Sequence[Expr]) -> tuple[Expr, Expr]:
        (row, column), (i, j) = index, step
        return data[row, i, j, *value], weight[i, j, column, *value]

    return summed((rows, int(weight.shape[2])), operands, {"a": a, "b": b}, dot, kind, Tile(1, 2, 3))


def drawn(shape: tuple[int, int, int, int], dot: Dot, seed: int) -> list[Array]:
    """Return data and weights for `product_of`, of (rows, a, b, columns)."""
    rows, a, b, columns = shape
    group = (dot.values,) if dot.values > 1 else ()
    random = np.random.default_rng(seed)
    arrays = []
    for size, dtype in (((rows, a, b), dot.data), ((a, b, columns), dot.weight)):
        if dtype.startswith("float"):
            arrays.append(random.standard_normal((*size, *group)).astype(dtype))
        else:
            least = 0 if dtype == "uint8" else -128
            arrays.append(random.integers(least, least + 256, (*size, *group)).astype(dtype))
    return arrays


@pytest.mark.parametrize("kind", DOTS)
@settings(SETTINGS, max_examples=3)
@given(st.tuples(*[st.integers(1, 5)] * 2, st.sampled_from([1, 3, 40]), st.integers(1, 5)), st.integers(0, 99))
def test_every_product_is_summed_once(kind: str, shape: tuple[int, int, int, int], seed: int) -> None:
    dot = DOTS[kind]
    arrays = drawn(shape, dot, seed)
    data, weight = placeholders(*arrays)
    found = computed(product_of(data, weight, dot), [data, weight], arrays)
    wide = [array.astype(np.float64) for array in arrays]
    expected = np.einsum("rabv,abcv->rc" if dot.values > 1 else "rab,abc->rc", *wide)
    if dot.sums == "int32":
        np.testing.assert_array_equal(found, expected)
    else:
        assert found.dtype == np.float32
        # Of the sum of all terms' sizes: float16 rounds each of up to 64 additions to 11 bits.
        scale = np.einsum("rabv,abcv->rc" if dot.values > 1 else "rab,abc->rc", *map(np.abs, wide))
        assert np.all(np.abs(found - expected) <= scale * (2e-2 if dot.sums == "float16" else 1e-6))


def test_float16_is_summed_in_parts_that_float32_adds() -> None:
    """Of 5 x 40 steps, 40 are a part of 64 at most: five float16 sums of 40, of even and of odd values each."""
    dot = DOTS["float16"]
    arrays = drawn((2, 5, 40, 3), dot, 0)
    data, weight = placeholders(*arrays)
    function = te.create_prim_func([data, weight, product_of(data, weight, dot)])
    assert half.parts([5, 40]) == [(5, 1), (1, 40)]
    assert nests(function) == {"partial": "5, 2, 3, 2, 40", "direct": "2, 3, 5"}
    sch = tvm.s_tir.Schedule(function)
    partial, sums = (sch.get(sch.get_sblock(name)) for name in ("partial", "direct"))
    assert (str(partial.writes[0].source.dtype), str(sums.writes[0].source.dtype)) == ("float16", "float32")
    assert (PARTIAL in partial.annotations, PARTIAL in sums.annotations) == (True, False)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_the_block_of_the_sums_asks_for_its_schedule(kind: str) -> None:
    data, weight = placeholders(*drawn((1, 2, 2, 2), DOTS[kind], 0))
    sch = tvm.s_tir.Schedule(te.create_prim_func([data, weight, product_of(data, weight, DOTS[kind], "gemm")]))
    annotations = sch.get(sch.get_sblock("gemm")).annotations
    assert (annotations["dlas.schedule"], [int(size) for size in annotations["dlas.tile"]]) == ("gemm", [1, 2, 3])
