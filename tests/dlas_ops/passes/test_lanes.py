"""Loops in lanes: what they compute, over drawn extents, and that they are vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Expr, PrimFunc
from tests.dlas_ops import assembly
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.shapes import SETTINGS
from tests.dlas_ops.tensor_programs import ran, scheduled

te, tirx = tvm.te, tvm.tirx
REDUCTIONS: dict[str, tuple[Callable[..., Expr], Callable[..., Array]]] = {
    "sum": (te.sum, np.sum), "max": (te.max, np.max), "min": (te.min, np.min),
}  # fmt: skip


def reduction(kind: str, rows: int, columns: int, axis: int) -> PrimFunc:
    x = te.placeholder((rows, columns), "float32", "x")
    k = te.reduce_axis((0, (rows, columns)[axis]), "k")
    reduce = REDUCTIONS[kind][0]
    result = te.compute(
        ((rows, columns)[1 - axis],), lambda i: reduce(x[(k, i) if axis == 0 else (i, k)], axis=k), name="y"
    )
    return te.create_prim_func([x, result])


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions_over_drawn_extents(kind: str) -> None:
    @settings(SETTINGS, max_examples=8)
    @given(st.integers(1, 90), st.integers(1, 300), st.integers(0, 1))
    def cases(rows: int, columns: int, axis: int) -> None:
        data = networks.random((rows, columns))
        actual = ran(scheduled(reduction(kind, rows, columns, axis), networks.target()), [data])
        networks.assert_close(actual, REDUCTIONS[kind][1](data, axis=axis), 1e-5)

    cases()


def test_a_long_sum_is_summed_in_parts() -> None:
    data = networks.random((1, 1 << 17))
    actual = ran(scheduled(reduction("sum", 1, 1 << 17, 1), networks.target()), [data])
    np.testing.assert_allclose(actual, data.astype(np.float64).sum(1), atol=2e-3)


def bordered(rows: int, columns: int, border: int) -> PrimFunc:
    x = te.placeholder((rows, columns), "float32", "x")

    def element(i: Any, j: Any) -> Any:
        inside = tirx.all(i >= border, i < rows + border, j >= border, j < columns + border)
        return tirx.if_then_else(inside, x[i - border, j - border], tirx.const(7.0, "float32"))

    return te.create_prim_func([x, te.compute((rows + 2 * border, columns + 2 * border), element, name="y")])


def test_borders_over_drawn_extents() -> None:
    @settings(SETTINGS, max_examples=8)
    @given(st.integers(1, 20), st.integers(1, 70), st.integers(1, 18))
    def cases(rows: int, columns: int, border: int) -> None:
        data = networks.random((rows, columns))
        actual = ran(scheduled(bordered(rows, columns, border), networks.target()), [data])
        np.testing.assert_array_equal(actual, np.pad(data, border, constant_values=7))

    cases()


@pytest.mark.parametrize("program", [reduction("sum", 8, 200, 1), reduction("max", 200, 64, 0), bordered(9, 70, 2)])
def test_the_loops_are_vectors(program: PrimFunc) -> None:
    text = assembly.program_text(scheduled(program, "znver4"), "znver4")
    assert "%zmm" in text
