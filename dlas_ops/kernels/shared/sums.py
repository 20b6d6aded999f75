"""Operands of a convolution's products → its sums: in one reduction or, in float16, in parts of bounded length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Tensor
from dlas_ops.kernels.shared.blocks import Annotations, annotation, multiplied, value_axis
from dlas_ops.processor.dot import Dot
from dlas_ops.processor.half import PAIR, PARTIAL, parts
from dlas_ops.schedule.tiling import Tile

te = tvm.te

# Sum's indices, reduction's indices, index of the value in its group if there are groups → data and weight.
Operands = Callable[[Sequence[Expr], Sequence[Expr], Sequence[Expr]], tuple[Expr, Expr]]


def summed(
    shape: Sequence[int], operands: Operands, reduction: Mapping[str, int], dot: Dot, kind: str, tile: Tile
) -> Tensor:
    """Return the sums of `shape` of products over `reduction`, annotated for the schedule `kind` and its `tile`.

    Parameters
    ----------
    reduction : loop → extent, outermost first; the last one counts groups of `dot.values`
    """
    attributes = annotation(kind, tile)
    if dot.sums == "float16":
        return _in_parts(shape, operands, reduction, kind, attributes)
    axes, value = [te.reduce_axis((0, size), name) for name, size in reduction.items()], value_axis(dot)

    def point(*index: Expr) -> Expr:
        return te.sum(multiplied(*operands(index, axes, value), dot), axis=[*axes, *value])

    return te.compute(shape, point, name=kind, attrs=attributes)


def _in_parts(
    shape: Sequence[int], operands: Operands, reduction: Mapping[str, int], kind: str, attributes: Annotations
) -> Tensor:
    """Return float32 sums of float16 sums of pairs."""
    split = parts([*reduction.values()])
    outside = [te.reduce_axis((0, outer), f"{name}_part") for name, (outer, _) in zip(reduction, split, strict=True)]
    inside = [te.reduce_axis((0, inner), name) for name, (_, inner) in zip(reduction, split, strict=True)]

    def products(*index: Expr) -> Expr:
        part, place, value = index[: len(split)], index[len(split) : -1], index[-1]
        steps = [at * size + axis for at, (_, size), axis in zip(part, split, inside, strict=True)]
        data, weight = operands(place, steps, [value])
        return te.sum(data * weight, axis=inside)

    extents = [outer for outer, _ in split]
    partial = te.compute((*extents, *shape, PAIR), products, name="partial", attrs={PARTIAL: 1})

    def point(*index: Expr) -> Expr:
        even, odd = (partial[(*outside, *index, value)] for value in range(PAIR))
        return te.sum((even + odd).astype("float32"), axis=outside)

    return te.compute(shape, point, name=kind, attrs=attributes)
