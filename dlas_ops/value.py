"""An expression of the network, with the layout that it holds its tensor in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm


# In place of a channel block: the map's points are innermost, in whole vectors (see `operators.points`).
POINTS = -1


@dataclass(frozen=True)
class Value:
    """A tensor of the network: its NCHW (or other) `shape` and the expression that holds it.

    `block` 0 means that `expression` holds it as it is, `POINTS` with its points innermost, otherwise in channel
    blocks of that size.
    """

    expression: Any
    shape: tuple[int, ...]
    block: int = 0

    @property
    def constant(self) -> NDArray[Any] | None:
        """The array, if the value is a constant."""
        known = isinstance(self.expression, tvm.ir.GenericConst)
        return np.asarray(self.expression.value.numpy()) if known else None


def shape_of(expression: Any) -> tuple[int, ...]:
    """Return the static shape of a Relax expression; () for scalars and for what is no tensor."""
    shape = getattr(expression.ty, "shape", None)
    return tuple(int(size) for size in shape) if shape is not None else ()
