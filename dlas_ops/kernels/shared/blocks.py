"""Stages that convolutions share: reading blocked activations, the padded input and the epilogue's entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, IterVar, Tensor
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import Slices
from dlas_ops.processor.dot import Dot, as_kept
from dlas_ops.schedule.group_tiling import GroupTile
from dlas_ops.schedule.matrix_tiling import MatrixTile
from dlas_ops.schedule.steps import MATRIX
from dlas_ops.schedule.tiling import Tile

te = tvm.te

# The annotations of a block, which tell a schedule about it.
Annotations: TypeAlias = Mapping[str, str | int | list[int]]

# Floats that tensors are stored in, but not computed with one by one.
NARROW = ("float16", "bfloat16")

# Pattern kind of Relax's operator fusion for "element-wise operators may follow in the same function".
FUSES_EPILOGUE = 4

# On a block: too long to unroll; as a convolution's epilogue it runs as a loop over the finished tile.
LOOPED = {"dlas.looped": 1}

# On a block: what is element-wise, but read so much more often than it has elements that it is computed once.
ONCE = {"dlas.once": 1}


def annotation(kind: str, tile: Tile | None = None) -> Annotations:
    """Return the attributes that tell `scheduling` which schedule a block wants and the tile it starts from."""
    attributes: dict[str, str | int | list[int]] = {"dlas.schedule": kind}
    if tile:
        attributes["dlas.tile"] = [tile.height, tile.width, tile.vectors]
    if isinstance(tile, MatrixTile):
        attributes[MATRIX] = [tile.groups, int(tile.joined)]
    if isinstance(tile, GroupTile):
        attributes["dlas.threads"] = [*tile.threads]
    return attributes


def read_channel(data: Tensor, image: Expr, channel: Expr, row: Expr, column: Expr) -> Expr:
    """Read one element of `data`, blocked (batch, channels / block, height, width, block) or plain NCHW."""
    if len(data.shape) == 4:
        return data[image, channel, row, column]
    block = int(data.shape[4])
    return data[image, channel // block, row, column, channel % block]


def padded(
    data: Tensor,
    conv: Conv,
    rows: int,
    columns: int,
    block: int,
    value: float = 0.0,
    dtype: str | None = None,
    slices: Slices | None = None,
) -> Tensor:
    """Return the input with its border, wide enough for `rows` x `columns` outputs, in channel blocks of `block`.

    A volume, whose `slices` are seen, also has the border before the first slice and behind the last. Without a border
    to add or a `dtype` to widen to, `data` itself comes back.
    """
    dtype = dtype or str(data.dtype)
    top, left = conv.padding[:2]
    height = (rows - 1) * conv.stride[0] + conv.extent[0]
    width = (columns - 1) * conv.stride[1] + conv.extent[1]
    fits = top == left == 0 and height <= conv.height and width <= conv.width
    fits = fits and (slices is None or slices.inside)
    if fits and len(data.shape) == 5 and int(data.shape[4]) == block and data.dtype == dtype:
        return data
    blocks = -(-conv.in_channels // block)
    channels = conv.in_channels if len(data.shape) == 4 else int(data.shape[1]) * int(data.shape[4])

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * block + ci
        inside = [h >= top, h < conv.height + top, w >= left, w < conv.width + left]
        if blocks * block > channels:
            inside.append(channel < channels)
        image = n
        if slices is not None and not slices.inside:
            piece = n % slices.bordered - slices.begin
            inside += [piece >= 0, piece < slices.depth]
            image = n // slices.bordered * slices.depth + piece
        return copied(inside, read_channel(data, image, channel, h - top, w - left), dtype, value)

    images = conv.batch if slices is None else conv.batch // slices.depth * slices.bordered
    return te.compute((images, blocks, height, width, block), element, name="padded")


def copied(inside: Sequence[Expr], held: Expr, dtype: str, border: float = 0) -> Expr:
    """Return the element of a copy of activations, in `dtype`: `held` where all of `inside` is true, else `border`."""
    own, kept = held.astype(dtype), as_kept(dtype)
    if kept != dtype:
        own = tvm.tirx.reinterpret(kept, own)
    return tvm.tirx.if_then_else(tvm.tirx.all(*inside), own, tvm.tirx.const(border, kept))


def wide(dtype: str) -> str:
    """Return the dtype that tensors stored in `dtype` are computed with, one by one: narrow floats in float32."""
    return "float32" if dtype in NARROW else dtype


def value_axis(dot: Dot) -> list[IterVar]:
    """Return the reduction axis over the values that the instruction sums into one lane, if there are several."""
    return [te.reduce_axis((0, dot.values), "q")] if dot.values > 1 else []


def multiplied(data: Expr, weight: Expr, dot: Dot) -> Expr:
    """Return the product of two elements in the dtype of the sums."""
    # An element of a tensor knows its dtype otherwise than an expression does.
    dtype = data.dtype if isinstance(data, te.TensorSlice) else data.ty.dtype
    if dot.data != dtype == as_kept(dot.data):
        data = tvm.tirx.reinterpret(dot.data, data)
    return data.astype(dot.sums) * weight.astype(dot.sums)
