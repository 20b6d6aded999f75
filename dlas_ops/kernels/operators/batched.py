"""Products of two activations, batch by batch: the second one is packed in panels of one vector, as weights are."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor
from dlas_ops.kernels.operators import product
from dlas_ops.processor.dot import Dot
from dlas_ops.processor.targets import Processor

te, tirx = tvm.te, tvm.tirx

PANELS = "panels"


def compute(one: Tensor, other: Tensor, processor: Processor) -> Tensor:
    """Return `one` (…, rows, inputs) times `other` (…, inputs, columns) in float32; their leading axes broadcast."""
    *one_batch, rows, inputs = (int(size) for size in one.shape)
    *other_batch, _, columns = (int(size) for size in other.shape)
    batch = broadcast(one_batch, other_batch)
    images, lanes = prod(batch), processor.lanes()
    blocks = ceil(columns / lanes)

    def packed(n: Expr, o: Expr, k: Expr, v: Expr) -> Expr:
        column = o * lanes + v
        if columns % lanes:  # the last one is repeated: what is summed of those beyond it is dropped
            column = tirx.min(column, columns - 1)
        return other[*at(n, batch, other_batch), k, column].astype("float32")

    panels = te.compute((images, blocks, inputs, lanes), packed, name=PANELS)

    def element(n: Expr, r: Expr, k: Expr) -> Expr:
        return one[*at(n, batch, one_batch), r, k]

    def panel(n: Expr, o: Expr, k: Expr, v: Expr, value: Sequence[Expr]) -> Expr:
        return panels[n, o, k, v]

    data = product.Rows(images, rows, inputs, str(one.dtype), element, viewed=True)
    sums = product.sums(data, product.Panels(blocks, inputs, panel), Dot(), processor)
    return te.compute(
        (*batch, rows, columns),
        lambda *index: sums[product.raveled(index[:-2], batch), 0, 0, index[-2], index[-1]],
        name="output",
    )


def broadcast(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return the shape that two shapes broadcast to."""
    length = max(len(one), len(other))
    filled = ([1] * (length - len(shape)) + list(shape) for shape in (one, other))
    return [max(pair) for pair in zip(*filled, strict=True)]


def at(n: Expr, batch: Sequence[int], own: Sequence[int]) -> list[Expr]:
    """Return where in a tensor of leading axes `own` the image `n` of `batch` is."""
    index = product.unraveled(n, batch)[len(batch) - len(own) :]
    return [each if size > 1 else tirx.const(0, "int32") for each, size in zip(index, own, strict=True)]
