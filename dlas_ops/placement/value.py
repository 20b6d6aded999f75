"""Expression of the rewritten network → the tensor that it stands for, in its layout and dtype."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Expr, Shape
from dlas_ops.kernels.shared.dimensions import maps_of


@dataclass(frozen=True, eq=False)
class Quantization:
    """The reals that integers stand for: min(max(`scale` * (integer - `zero`), `low`), `high`).

    `scale` and `zero` broadcast against the tensor: one number or, of weights and of a convolution's sums, one per
    output channel. A convolution's sums carry its bias and its input's zero point in `zero`, and the ReLU or clip that
    follows in `low` and `high`, so that requantizing the sums does all of them at no cost.
    """

    scale: NDArray[np.float32]
    zero: NDArray[np.int32] = field(default_factory=lambda: np.zeros((), np.int32))
    low: float = -np.inf
    high: float = np.inf

    @property
    def per_tensor(self) -> bool:
        """Whether one scale and zero point serve the whole tensor."""
        return self.scale.size == self.zero.size == 1

    def __eq__(self, other: object) -> bool:
        """Compare numbers, not shapes that broadcast alike."""
        return (
            isinstance(other, Quantization)
            and np.array_equal(self.scale.ravel(), other.scale.ravel())
            and np.array_equal(self.zero.ravel(), other.zero.ravel())
            and (self.low, self.high) == (other.low, other.high)
        )


@dataclass(frozen=True)
class Value:
    """A tensor of the network: its `shape` and the expression that holds it, lines and volumes in blocks as maps.

    `block` 0 means that `expression` holds it as it is, `POINTS` (of `operators.points_innermost`) with its points
    innermost, otherwise in channel blocks of that size. With a `quantization`, `expression` holds integers that stand
    for the tensor. `wide`, where there is one, holds the tensor in the same layout as it was computed, before it was
    rounded to be stored. `layer` names the convolution whose algorithm decided the block, or is "" where the algorithm
    for all other layers did. `table`, where there is one, is the function of 8-bit integers that the tensor is, element
    by element. `turned`, where there is one, is the same tensor in channel blocks, while `expression` holds it
    with its channels last.
    """

    expression: Expr
    shape: Shape
    block: int = 0
    quantization: Quantization | None = None
    layer: str = ""
    wide: Expr | None = None
    table: Table | None = None
    turned: Value | None = None

    @property
    def maps(self) -> Shape:
        """The NCHW shape of the maps that channel blocks hold the tensor as."""
        return maps_of(self.shape)

    @property
    def dtype(self) -> str:
        """The dtype that `expression` holds."""
        return dtype_of(self.expression)

    @property
    def constant(self) -> Array | None:
        """The array, if the value is a constant."""
        known = isinstance(self.expression, tvm.ir.GenericConst)
        return np.asarray(self.expression.value.numpy()) if known else None


@dataclass(frozen=True, eq=False)
class Table:
    """A function of the 8-bit integers in `source`: `entries` holds the result for each integer, the least first.

    The entries are reals in float32 or, of a quantized tensor, the integers that stand for them.
    """

    source: Value
    entries: Array


def dtype_of(expression: Expr) -> str:
    """Return the dtype of a Relax expression, or "" if it has none."""
    return str(getattr(expression.ty, "dtype", ""))


def shape_of(expression: Expr) -> Shape:
    """Return the static shape of a Relax expression; () for scalars and for all that are no tensors."""
    shape = getattr(expression.ty, "shape", None)
    return tuple(int(size) for size in shape) if shape is not None else ()
