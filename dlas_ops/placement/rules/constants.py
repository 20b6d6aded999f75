"""Operators whose arguments are all constants → their result, computed with NumPy while compiling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Call, Shape
from dlas_ops.placement.context import Context
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value

relax = tvm.relax

# Operators that the importer leaves on constants, for bounds of Clip, biases and transposed weights.
FOLDED: dict[str, Callable[..., Array]] = {
    "relax.isnan": lambda call, x: np.isnan(x),
    "relax.where": lambda call, *arrays: np.where(*arrays),
    "relax.reshape": lambda call, x: x,
    "relax.expand_dims": lambda call, x: x,
    "relax.permute_dims": lambda call, x: x.transpose(call.attrs.axes and [int(axis) for axis in call.attrs.axes]),
}


@places(*FOLDED)
def folded(context: Context, call: Call, shape: Shape) -> Value | None:
    """Compute an operator on constants in NumPy; Relax's own folding compiles every call."""
    arrays = [context.value(argument).constant for argument in call.args if not isinstance(argument, relax.ShapeExpr)]
    if any(array is None for array in arrays):
        return None
    result = np.ascontiguousarray(FOLDED[call.op.name](call, *arrays)).reshape(shape)
    return Value(relax.const(result), shape)
