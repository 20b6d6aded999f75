"""A tensor → activation functions of it, element by element, which `dlas_ops.passes.vector_math` makes vectors of."""

from __future__ import annotations

from collections.abc import Callable

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor
from dlas_ops.kernels.shared.blocks import LOOPED

te, tirx = tvm.te, tvm.tirx


def _looped(name: str, element: Callable[[Expr], Expr]) -> Callable[[Tensor], Tensor]:
    """Return the function of a tensor that computes `element` of each of its elements, too long to unroll."""

    def compute(x: Tensor) -> Tensor:
        # A tensor of its own: `element` reads its argument several times, and what is inlined there is one number.
        return te.compute(x.shape, lambda *index: element(x(*index)), name=name, attrs=LOOPED)

    compute.__doc__ = f"Return {name} of every element of `x`."
    return compute


def _gelu(x: Expr) -> Expr:
    return 0.5 * x * (1.0 + tirx.erf(x * 0.5**0.5))


def _gelu_tanh(x: Expr) -> Expr:
    return 0.5 * x * (1.0 + tirx.tanh(x * (0.7978845608028654 + 0.035677408136300125 * x * x)))


exp = _looped("exp", tirx.exp)
log = _looped("log", tirx.log)
tanh = _looped("tanh", tirx.tanh)
erf = _looped("erf", tirx.erf)
sin = _looped("sin", tirx.sin)
cos = _looped("cos", tirx.cos)
sigmoid = _looped("sigmoid", tirx.sigmoid)
# x times the normal distribution's probability to lie below x, and the same by way of tanh.
gelu = _looped("gelu", _gelu)
gelu_tanh = _looped("gelu_tanh", _gelu_tanh)
silu = _looped("silu", lambda x: x * tirx.sigmoid(x))

# By Relax operator.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relax.exp": exp,
    "relax.erf": erf,
    "relax.log": log,
    "relax.sin": sin,
    "relax.cos": cos,
    "relax.sigmoid": sigmoid,
    "relax.tanh": tanh,
    "relax.nn.gelu": gelu,
    "relax.nn.gelu_tanh": gelu_tanh,
    "relax.nn.silu": silu,
}
