"""Dense layer: rows of any tensor times packed weights, panels of one vector of outputs each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor
from dlas_ops.kernels.operators import product
from dlas_ops.kernels.shared.packing import in_panels
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.targets import Processor

# Multiplies float16 in float16 where the processor can.
HALF = True


def pack(weight: np.ndarray, processor: Processor) -> np.ndarray:
    """Pack (inputs, outputs) weights as (output block, input, output), padded with zeros to whole vectors.

    Inputs that one instruction sums lie together, after the output; see `packing.in_panels`.
    """
    dot = dot_of(str(weight.dtype), processor, HALF)
    return in_panels(weight.T[:, :, None, None], processor.lanes(), dot)[:, 0, 0]


def compute(
    data: Tensor, weight: Tensor, outputs: int, processor: Processor, view: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return `data` (…, inputs) times packed `weight`, as (…, outputs); all axes but the last are rows.

    Parameters
    ----------
    view : how `data` becomes (…, inputs), if it is not that already: its rows are then copied as they are read
    """
    viewed = view(data) if view else data
    *leading, inputs = (int(size) for size in viewed.shape)

    def element(n: Expr, r: Expr, k: Expr) -> Expr:
        return viewed[*product.unraveled(r, leading), k]

    def panel(n: Expr, o: Expr, k: Expr, v: Expr, value: Sequence[Expr]) -> Expr:
        return weight[o, k, v, *value]

    blocks, groups = (int(size) for size in weight.shape[:2])
    rows = product.Rows(1, prod(leading), inputs, str(viewed.dtype), element, viewed=view is not None)
    panels = product.Panels(blocks, groups, panel)
    sums = product.sums(rows, panels, dot_of(str(viewed.dtype), processor, HALF), processor)

    def output(*index: Expr) -> Expr:
        return sums[0, 0, 0, product.raveled(index[:-1], leading), index[-1]]

    return tvm.te.compute((*leading, outputs), output, name="output")
