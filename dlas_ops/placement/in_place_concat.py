"""Concatenations that extend one another, as in a dense block → one tensor that grows in place.

Source: Pleiss et al., "Memory-Efficient Implementation of DenseNets", 2017. Copying all earlier parts at every layer
costs a dense block of n layers O(n^2) copies, and a tensor program that chooses among n parts for every element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared.blocks import read_channel
from dlas_ops.placement.value import Value, shape_of

if TYPE_CHECKING:
    from dlas_ops.placement.walk import Placement

relax, te, tirx = tvm.relax, tvm.te, tvm.tirx


class Growing:
    """The concatenations of a Relax function of which each begins with all parts of a shorter one.

    Parts are written into the one tensor that holds the longest, each once, when it is there. Nobody reads channels
    that are still to be written, so that a shorter concatenation is a view: its first channels.
    """

    def __init__(self, function: Any) -> None:
        found: dict[Any, list[list[Any]]] = {}
        for block in function.body.blocks:
            for binding in block.bindings:
                if parts := _parts(binding.value):
                    found.setdefault(parts[0], []).append(parts)
        longest = {first: max(lists, key=len) for first, lists in found.items() if len(lists) > 1}
        self._longest = {
            first: parts
            for first, parts in longest.items()
            if all(list(map(hash, other)) == list(map(hash, parts[: len(other)])) for other in found[first])
        }
        self._tensors: dict[Any, Any] = {}
        self._written: dict[Any, int] = {}

    def place(self, place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
        """Write what the concatenation `call` adds; return its channels, or None if it is not one that grows.

        Parts must be whole vectors of channels, so that the copies vectorise.
        """
        parts = _parts(call)
        longest = self._longest.get(parts[0], [])
        channels = [shape_of(part)[1] for part in longest]
        if not longest or any(count % place.cpu.lanes() for count in channels):
            return None
        first, total = parts[0], sum(channels)
        block = place.block(total)
        if first not in self._tensors:
            value = place.value(first)
            source = place.blocked(value, place.block(value.shape[1], value), value.layer)
            self._tensors[first] = place.emit(
                lambda x: opened(x, value.shape, total, block), source, name="open", pattern=None
            )
            self._written[first] = 1
        for number in range(self._written[first], len(parts)):
            value = place.value(parts[number])
            source = place.blocked(value, place.block(value.shape[1], value), value.layer)
            held = self._tensors[first]
            writer = place.builder.add_func(write(held, source, sum(channels[:number])), "write")
            call = relax.call_tir_inplace(writer, relax.Tuple([held, source]), 0, held.ty)
            self._tensors[first] = place.builder.emit(call)
        self._written[first] = max(self._written[first], len(parts))
        own = place.block(shape[1])
        taken = place.emit(lambda x: take(x, shape, own), self._tensors[first], name="concat", pattern=None)
        return Value(taken, shape, own)


def opened(first: Any, shape: tuple[int, ...], channels: int, block: int) -> Any:
    """Return blocked `first`, NCHW `shape`, with zeros behind it up to `channels`, in channel blocks of `block`."""
    batch, own, height, width = shape

    def element(n: Any, co: Any, h: Any, w: Any, ci: Any) -> Any:
        channel = co * block + ci
        held = read_channel(first, n, channel, h, w)
        return tirx.if_then_else(channel < own, held, tirx.const(0.0, first.dtype))

    return te.compute((batch, -(-channels // block), height, width, block), element, name="opened")


def write(held: Any, part: Any, begin: int) -> Any:
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


def take(held: Any, shape: Sequence[int], block: int) -> Any:
    """Return the first channels of blocked `held`, as many as NCHW `shape` has, in channel blocks of `block`."""
    batch, channels, height, width = shape
    return te.compute(
        (batch, channels // block, height, width, block),
        lambda n, co, h, w, ci: read_channel(held, n, co * block + ci, h, w),
        name="taken",
    )


def _parts(value: Any) -> list[Any]:
    """Return the tensors that `value` concatenates along channels, or none."""
    if getattr(getattr(value, "op", None), "name", "") != "relax.concat" or len(shape_of(value)) != 4:
        return []
    fields = list(getattr(value.args[0], "fields", ()))
    return fields if int(value.attrs.axis) % 4 == 1 else []
