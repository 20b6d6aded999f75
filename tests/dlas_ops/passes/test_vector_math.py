"""Functions of the C library as polynomials: their values, their calls, and what is out of range."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, PrimFunc
from dlas_ops.kernels.scheduling import schedule
from dlas_ops.passes.vector_math import CALLS, marked
from tests.dlas_ops import assembly
from tests.dlas_ops.tensor_programs import ran, scheduled

te, tirx = tvm.te, tvm.tirx
SIZE = 4099  # vectors, and some numbers one by one
SPECIAL = np.array([0, np.inf, -np.inf, np.nan, 1e-40, 88.73, -87.5, -103, 100, -110, 3e38], np.float32)

EXACT: dict[str, tuple[Callable[[Array], Array], float]] = {
    "exp": (np.exp, 30),
    "log": (np.log, 1e4),
    "tanh": (np.tanh, 3),
    "erf": (np.vectorize(math.erf), 2),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 20),
    "sin": (np.sin, 30),
    "cos": (np.cos, 30),
}


def elementwise(name: str, exponent: float | None = None) -> PrimFunc:
    x = te.placeholder((SIZE,), "float32", "x")
    function = getattr(tirx, name)
    rest = [] if exponent is None else [tirx.const(exponent, "float32")]
    return te.create_prim_func([x, te.compute((SIZE,), lambda i: function(x[i], *rest), name="y")])


@pytest.mark.parametrize("name", EXACT)
def test_values(name: str) -> None:
    exact, spread = EXACT[name]
    data = (spread * np.random.default_rng(0).standard_normal(SIZE)).astype(np.float32)
    data = np.abs(data) if name == "log" else data
    if name not in ("sin", "cos"):
        data[: len(SPECIAL)] = SPECIAL
    actual = ran(scheduled(elementwise(name), tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v3"})), [data])
    with np.errstate(all="ignore"):
        expected = exact(data.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(actual, expected, rtol=5e-7, atol=4e-7)


@pytest.mark.parametrize("exponent", [7.0, 0.0, -1.0, 1.7])
def test_powers(exponent: float) -> None:
    data = (3 * np.random.default_rng(0).standard_normal(SIZE)).astype(np.float32)
    actual = ran(scheduled(elementwise("power", exponent), tvm.target.Target({"kind": "llvm"})), [data])
    with np.errstate(all="ignore"):
        expected = np.power(data.astype(np.float64), exponent).astype(np.float32)
    np.testing.assert_allclose(actual, expected, rtol=3e-6)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("mcpu", ["znver4", "cortex-a72"])
def test_the_library_is_not_called(name: str, mcpu: str) -> None:
    text = assembly.program_text(scheduled(elementwise(name), mcpu), mcpu)
    assert f"{name}f" not in text.split()


def test_only_programs_that_call_the_library_are_marked() -> None:
    x = te.placeholder((SIZE,), "float32", "x")
    assert CALLS in marked(elementwise("exp")).attrs
    plain = te.create_prim_func([x, te.compute((SIZE,), lambda i: x[i] + 1, name="y")])
    assert CALLS not in (marked(plain).attrs or {})


def test_programs_that_others_scheduled_are_marked() -> None:
    function, target = elementwise("exp"), tvm.target.Target({"kind": "llvm"})
    module = schedule(tvm.IRModule({"main": function}), target, {"main": function})
    assert CALLS in module["main"].attrs
