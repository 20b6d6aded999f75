"""A tensor → activation functions of it, element by element: long expressions that vectorise."""

from __future__ import annotations

from collections.abc import Callable

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor
from dlas_ops.kernels.shared.blocks import LOOPED

te, topi = tvm.te, tvm.topi


def _looped(x: Tensor, element: Callable[..., Expr], name: str) -> Tensor:
    """Return `element` of every index into `x`, too long an expression to unroll."""
    return te.compute(x.shape, element, name=name, attrs=LOOPED)


# The C library's exp, tanh and erf work on one number at a time; TOPI's fast ones are polynomials.
def exp(x: Tensor) -> Tensor:
    """Return e to the power of `x`."""
    return _looped(x, topi.fast_exp(x), "exp")


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent of `x`."""
    return _looped(x, topi.fast_tanh(x), "tanh")


def erf(x: Tensor) -> Tensor:
    """Return the error function of `x`."""
    return _looped(x, topi.fast_erf(x), "erf")


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm of `x`."""
    return _looped(x, lambda *index: tvm.tirx.log(x(*index)), "log")


def gelu(x: Tensor) -> Tensor:
    """Return `x` times the normal distribution's probability to lie below `x`."""
    scaled = topi.fast_erf(te.compute(x.shape, lambda *index: x(*index) * 0.5**0.5, name="scaled"))
    return _looped(x, lambda *index: 0.5 * x(*index) * (1.0 + scaled(*index)), "gelu")


def sigmoid(x: Tensor) -> Tensor:
    """Return the logistic function of `x`."""
    negative = topi.fast_exp(te.compute(x.shape, lambda *index: -x(*index), name="negative"))
    return _looped(x, lambda *index: 1.0 / (1.0 + negative(*index)), "sigmoid")


def silu(x: Tensor) -> Tensor:
    """Return `x` times the logistic function of it."""
    gate = sigmoid(x)
    return _looped(x, lambda *index: x(*index) * gate(*index), "silu")


# By Relax operator.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relax.exp": exp,
    "relax.erf": erf,
    "relax.log": log,
    "relax.sigmoid": sigmoid,
    "relax.tanh": tanh,
    "relax.nn.gelu": gelu,
    "relax.nn.silu": silu,
}
