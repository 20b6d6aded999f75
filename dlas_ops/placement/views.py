"""Tensor that operators only reshape, reorder, cut or scale → the tensor that they begin with, and what they do to it.

A kernel that copies its operand anyway reads the first tensor, and none of those between is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from dlas_ops._tvm import tvm
from dlas_ops._types import Call, Expr, Shape, Tensor
from dlas_ops.placement.operators import name_of
from dlas_ops.placement.value import shape_of

relax, te, topi = tvm.relax, tvm.te, tvm.topi

Step = Callable[[Tensor], Tensor]

RESHAPES = ("relax.reshape", "relax.squeeze", "relax.expand_dims", "relax.flatten")


@dataclass(frozen=True)
class View:
    """The tensor `base` of the network, and the `steps` that make another one of it, the first first."""

    base: Expr
    steps: tuple[Step, ...] = ()

    def __call__(self, data: Tensor) -> Tensor:
        """Return the viewed tensor, `data` being the base."""
        for step in self.steps:
            data = step(data)
        return data


def view_of(
    expression: Expr,
    bound: Mapping[Expr, Expr],
    scales: bool = True,
    first: Callable[[Expr], Expr] = lambda expression: expression,
) -> View:
    """Return how `expression` is made of the tensor that its operators begin with, itself if they do more.

    Parameters
    ----------
    bound : variable of the network → what is bound to it
    scales : whether a product with a number is such an operator
    first : variable → the first one that holds the same tensor
    """
    steps: list[Step] = []
    expression = first(expression)
    while step := _step(bound.get(expression), shape_of(expression), bound, scales):
        expression, made = first(step[0]), step[1]
        steps.insert(0, made)
    return View(expression, tuple(steps))


def _step(call: Expr | None, shape: Shape, bound: Mapping[Expr, Expr], scales: bool) -> tuple[Expr, Step] | None:
    """Return the tensor that `call` reads and what it does to it, if it is an operator of a view."""
    if isinstance(call, relax.TupleGetItem):
        return _part(call, shape, bound.get(call.tuple_value))
    if not isinstance(call, relax.Call) or not call.args or not isinstance(call.args[0], relax.Var):
        return None
    name, source = name_of(call), call.args[0]
    if name in RESHAPES:
        return source, lambda x: topi.reshape(x, shape)
    if name == "relax.permute_dims":
        axes = [int(axis) for axis in call.attrs.axes or reversed(range(len(shape)))]
        return source, lambda x: topi.transpose(x, axes)
    if name == "relax.strided_slice":
        return _slice(call, shape)
    if scales and name == "relax.multiply" and prod(shape_of(call.args[1])) == 1 and shape_of(source) == shape:
        factor = getattr(call.args[1], "value", None)
        if factor is not None:
            number = float(factor.numpy().item())
            return source, lambda x: te.compute(x.shape, lambda *i: x(*i).astype("float32") * number, name="scaled")
    return None


def _part(item: Expr, shape: Shape, split: Expr | None) -> tuple[Expr, Step] | None:
    """Return what a part of a split reads, and where that begins."""
    if split is None or name_of(split) != "relax.split" or not isinstance(split.args[0], relax.Var):
        return None
    axis = int(split.attrs.axis) % len(shape)
    begin = sum(int(field.shape[axis]) for field in split.ty.fields[: int(item.index)])
    return split.args[0], _window({axis: (begin, 1)}, shape)


def _slice(call: Call, shape: Shape) -> tuple[Expr, Step] | None:
    """Return what a strided slice reads, and where and in which steps it does along each of its axes."""
    source = call.args[0]
    fields = [_numbers(argument) for argument in call.args[1:]]
    if any(field is None for field in fields):
        return None
    axes, begins, _, *rest = (field or [] for field in fields)
    strides = rest[0] if rest else [1] * len(axes)
    extents = shape_of(source)
    starts = {}
    for axis, begin, stride in zip(axes, begins, strides, strict=True):
        size = extents[axis]
        if stride < 1:
            return None
        starts[axis % len(extents)] = min(max(begin + size if begin < 0 else begin, 0), size), stride
    return source, _window(starts, shape)


def _numbers(argument: Expr) -> list[int] | None:
    """Return the integers that a tuple of an operator's arguments states, or None."""
    fields = list(getattr(argument, "fields", ()))
    return [int(field) for field in fields] if all(isinstance(field, tvm.tirx.IntImm) for field in fields) else None


def _window(starts: Mapping[int, tuple[int, int]], shape: Shape) -> Step:
    """Return the part of a tensor of `shape` that begins where `starts` says, by axis, and goes on in its steps."""

    def step(x: Tensor) -> Tensor:
        def element(*index: Expr) -> Expr:
            return x(*(starts.get(axis, (0, 1))[0] + i * starts.get(axis, (0, 1))[1] for axis, i in enumerate(index)))

        return te.compute(shape, element, name="window")

    return step
