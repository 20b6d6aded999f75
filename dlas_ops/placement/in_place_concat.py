"""Concatenations that extend one another, as in a dense block → one tensor that grows in place.

Source: Pleiss et al., "Memory-Efficient Implementation of DenseNets", 2017. Copying all earlier parts at every layer
costs a dense block of n layers O(n^2) copies, and a tensor program that chooses among n parts for every element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Function, PrimFunc, Shape, Tensor, Var
from dlas_ops.kernels.shared.blocks import read_channel
from dlas_ops.kernels.shared.dimensions import RANKS
from dlas_ops.placement.operators import name_of
from dlas_ops.placement.value import shape_of

te, tirx = tvm.te, tvm.tirx


@dataclass
class Grown:
    """The tensor of the concatenations that begin alike: the parts of the longest, and how many are written."""

    parts: list[Expr]
    tensor: Var | None = None
    written: int = 0

    @cached_property
    def channels(self) -> list[int]:
        """The channels of each part."""
        return [shape_of(part)[1] for part in self.parts]


class Growing:
    """Finds the concatenations of a Relax function that begin with all parts of a shorter one.

    One tensor holds the longest; each part is written into it once, as soon as it is computed. No operator reads
    channels that are still to be written, so a shorter concatenation is the first channels of that tensor.
    """

    def __init__(self, function: Function) -> None:
        found: dict[Expr, list[list[Expr]]] = {}
        for block in function.body.blocks:
            for binding in block.bindings:
                if parts := parts_of(binding.value):
                    found.setdefault(parts[0], []).append(parts)
        longest = {first: max(lists, key=len) for first, lists in found.items() if len(lists) > 1}
        self._by_first = {
            first: Grown(parts)
            for first, parts in longest.items()
            if all(list(map(hash, other)) == list(map(hash, parts[: len(other)])) for other in found[first])
        }

    def of(self, parts: Sequence[Expr]) -> Grown | None:
        """Return the tensor that begins with the concatenation of `parts`, or None if no other concatenation does."""
        return self._by_first.get(parts[0])


def opened(first: Tensor, shape: Shape, channels: int, block: int) -> Tensor:
    """Return blocked `first` of NCHW `shape`, followed by zeros up to `channels`, in channel blocks of `block`."""
    batch, own, height, width = shape

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * block + ci
        held = read_channel(first, n, channel, h, w)
        return tirx.if_then_else(channel < own, held, tirx.const(0.0, first.dtype))

    return te.compute((batch, -(-channels // block), height, width, block), element, name="opened")


def write(held: Expr, part: Expr, begin: int) -> PrimFunc:
    """Return the tensor program that copies blocked `part` into blocked `held` from channel `begin` on, in place."""
    from tvm.script.ir_builder import IRBuilder
    from tvm.script.ir_builder import tirx as T

    into, block = shape_of(held), shape_of(held)[4]
    sizes = shape_of(part)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_attr({"tirx.noalias": True})
        target = T.arg("held", T.Buffer(into, str(held.ty.dtype)))
        source = T.arg("part", T.Buffer(sizes, str(part.ty.dtype)))
        with T.grid(*sizes) as loops, T.sblock("write"):
            axes = [T.axis.spatial(size, loop) for size, loop in zip(sizes, loops, strict=True)]
            n, co, h, w, ci = axes
            channel = begin + co * sizes[4] + ci
            T.buffer_store(target, source[n, co, h, w, ci], [n, channel // block, h, w, channel % block])
    return builder.get()


def take(held: Tensor, shape: Shape, block: int) -> Tensor:
    """Return the first channels of blocked `held`, as many as NCHW `shape` has, in channel blocks of `block`."""
    batch, channels, height, width = shape
    return te.compute(
        (batch, channels // block, height, width, block),
        lambda n, co, h, w, ci: read_channel(held, n, co * block + ci, h, w),
        name="taken",
    )


def parts_of(value: Expr) -> list[Expr]:
    """Return the tensors that `value` concatenates along channels, or none."""
    rank = len(shape_of(value))
    if name_of(value) != "relax.concat" or rank not in RANKS:
        return []
    fields = list(getattr(value.args[0], "fields", ()))
    return fields if int(value.attrs.axis) % rank == 1 else []
