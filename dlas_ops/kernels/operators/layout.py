"""Layout changes: NCHW ↔ channel blocks, and concatenation along channels in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Tensor
from dlas_ops.kernels.shared.blocks import annotation, read_channel
from dlas_ops.kernels.shared.dimensions import maps_of, place, position
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.steps import copy_stage, inline_rest, parallel
from dlas_ops.schedule.threads import bind_all, bind_points
from dlas_ops.schedule.tunables import Choice

te, tirx = tvm.te, tvm.tirx


def pack(data: Tensor, shape: tuple[int, ...], block: int) -> Tensor:
    """Return `data`, NCHW of `shape` or in other blocks, as (batch, channels / block, height, width, block)."""
    batch, channels, height, width = shape
    blocks = -(-channels // block)

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * block + ci
        held = read_channel(data, n, channel, h, w)
        if blocks * block == channels:
            return held
        return tirx.if_then_else(channel < channels, held, tirx.const(0.0, data.dtype))

    return te.compute((batch, blocks, height, width, block), element, name="packed")


def unpack(data: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return blocked `data` as a plain tensor of `shape`: lines, maps or volumes."""
    return te.compute(shape, lambda *index: read_channel(data, *position(shape, index)), name="unpacked")


def as_maps(data: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return plain `data` of `shape`, lines, maps or volumes, as NCHW maps."""
    if len(shape) == 4:
        return data
    return te.compute(maps_of(shape), lambda *index: data(*place(shape, *index)), name="maps")


def concatenate(parts: Sequence[Tensor], channels: Sequence[int], block: int, lanes: int) -> Tensor:
    """Return blocked `parts` of `channels` channels each, one after the other along channels, in blocks of `block`.

    Where every part is whole vectors of channels, all lanes of a vector come from one part, and the copy vectorises.
    """
    batch, _, height, width, _ = (int(size) for size in parts[0].shape)
    total = sum(channels)
    unit = gcd(lanes, *channels)
    offsets = np.cumsum([0, *channels]).tolist()

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * block + ci
        held = tirx.const(0.0, parts[0].dtype)
        for part, begin, end in reversed(list(zip(parts, offsets[:-1], offsets[1:], strict=True))):
            mine = read_channel(part, n, channel - begin, h, w)
            held = tirx.if_then_else(channel // unit < end // unit, mine, held)
        return held

    kind = annotation("copy") if unit == lanes else annotation("scalar_copy")
    return te.compute((batch, -(-total // block), height, width, block), element, name="concatenated", attrs=kind)


def shuffled(data: Tensor, channels: int, groups: int) -> Tensor:
    """Return blocked `data` with the first channel of each of its `groups` first, then the second one of each, …"""

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * int(data.shape[4]) + ci
        held = read_channel(data, n, channel % groups * (channels // groups) + channel // groups, h, w)
        if int(data.shape[1]) * int(data.shape[4]) == channels:
            return held
        return tirx.if_then_else(channel < channels, held, tirx.const(0, data.dtype))

    return te.compute(data.shape, element, name="shuffled", attrs=annotation("channel_copy"))


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Copy vectors of channels, rows in parallel."""
    copy_stage(sch, inline_rest(sch, block, None), cpu)


def schedule_scalar(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Copy one element at a time, rows in parallel: a vector may come from two parts."""
    last = inline_rest(sch, block, None)
    parallel(sch, sch.fuse(*sch.get_loops(last)[:3]), cpu)


def schedule_channels(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Copy one channel of a row after the other, rows in parallel: where it comes from is found once for a row."""
    *rows, last = sch.get_loops(inline_rest(sch, block, None))
    if len(rows) == 4:  # and not a plain tensor, whose channels come before its rows
        sch.reorder(last, rows[3])
    parallel(sch, sch.fuse(*rows[:3]), cpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Copy a vector of channels in each thread."""
    bind_all(sch, inline_rest(sch, block, None), gpu)


def schedule_scalar_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Copy one element in each thread: a vector may come from two parts."""
    bind_points(sch, sch.get_loops(inline_rest(sch, block, None)), gpu)


def pack_constant(array: NDArray[Any], block: int) -> NDArray[Any]:
    """Return a constant that broadcasts against NCHW such that it broadcasts against channel blocks."""
    full = array.reshape((1,) * (4 - array.ndim) + array.shape)
    if full.shape[1] == 1:
        return full[..., None]
    batch, channels, height, width = full.shape
    blocks = -(-channels // block)
    filled = np.zeros((batch, blocks * block, height, width), array.dtype)
    filled[:, :channels] = full
    return np.ascontiguousarray(filled.reshape(batch, blocks, block, height, width).transpose(0, 1, 3, 4, 2))
