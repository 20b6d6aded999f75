"""Relax expression → the operator that it calls, also where the importer wrote a tensor program in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlas_ops._tvm import tvm
from dlas_ops._types import Call, Expr, PrimFunc, Shape

relax, tirx = tvm.relax, tvm.tirx

# Operators that mean the same on NCHW and on channel blocks.
ELEMENTWISE = frozenset("relax." + name for name in (
    "nn.relu", "nn.leakyrelu", "clip", "sqrt", "rsqrt", "negative", "abs",
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "sign", "floor", "ceil", "round", "square",
    "greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "where",
    "logical_and", "logical_or", "logical_not",
))  # fmt: skip

# Operators with arithmetic of their own that run by the general schedule, where no other rule applies.
GENERAL = frozenset("relax." + name for name in (
    "nn.softmax", "nn.log_softmax", "nn.layer_norm", "nn.rms_norm", "nn.group_norm", "nn.instance_norm",
    "mean", "sum", "max", "min", "prod", "variance", "std", "argmax", "argmin", "cumsum", "cumprod",
    "nn.avg_pool2d", "nn.max_pool2d", "nn.avg_pool1d", "nn.max_pool1d", "nn.avg_pool3d", "nn.max_pool3d",
    "nn.adaptive_avg_pool1d", "nn.adaptive_avg_pool2d", "nn.adaptive_avg_pool3d", "image.resize2d", "image.resize3d",
))  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """One operator of the network: its name, as `name_of` returns it, its call and the shape of its result."""

    name: str
    call: Call
    shape: Shape


def name_of(expression: Expr) -> str:
    """Return the name of the operator that `expression` calls or, if it calls none, of its class."""
    return str(getattr(getattr(expression, "op", None), "name", type(expression).__name__))


def extremum(function: PrimFunc) -> Callable[[Expr, Expr], Call] | None:
    """Return Relax's maximum or minimum if that is all that the tensor program `function` computes, or None."""
    body = function.body
    while not isinstance(body, tirx.BufferStore):
        match body:
            case tvm.s_tir.SBlockRealize():
                body = body.block.body
            case tirx.For():
                body = body.body
            case _:
                return None
    return {tirx.Max: relax.op.maximum, tirx.Min: relax.op.minimum}.get(type(body.value))
