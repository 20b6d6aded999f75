"""Dense layers of floats → one matrix product with packed weights."""

from __future__ import annotations

from math import prod

from dlas_ops._types import Call, Shape
from dlas_ops.kernels.operators import dense
from dlas_ops.placement.context import Context
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value


@places("relax.matmul")
def matmul(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a dense layer with packed weights."""
    data, weight = context.value(call.args[0]), context.value(call.args[1]).constant
    if weight is None or weight.ndim != 2 or len(data.shape) != 2:
        return None
    packed = context.weights(dense.pack(context.rounded(weight), context.cpu))
    result = context.emit(
        lambda x, w: dense.compute(x, w, shape[1], context.cpu), context.plain(data), packed, name="dense"
    )
    context.account(
        "dense", data.shape, weight.shape[::-1], shape, ran="dense", macs=prod(shape) * weight.shape[0],
        name=context.name("dense", context.held(call.args[1]).constant), **context.of_products(context.stored(weight)),
    )  # fmt: skip
    return context.computed(result, shape)
