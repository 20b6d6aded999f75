"""Grouped convolution: every group's channels gathered side by side, then a register-tiled convolution per group."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import gcd

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Tensor
from dlas_ops.kernels.shared.blocks import annotation, copied, multiplied, read_channel, value_axis
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.packing import in_panels
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import Dot, dot_of
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.group_tiling import output_tile
from dlas_ops.schedule.register_tiles import sum_values
from dlas_ops.schedule.steps import (
    divisors,
    extents,
    inline_rest,
    parallel,
    tile_of,
    vectorize_inner,
)
from dlas_ops.schedule.thread_tiles import group_of
from dlas_ops.schedule.threads import bind_all, bind_points, vectorize_sums
from dlas_ops.schedule.tiling import Tile
from dlas_ops.schedule.tunables import Choice, Space, rule_first

FEWEST_LANES = 4

# On a block: output channels of a group.
OUTPUTS = "dlas.outputs"


def pack(weight: np.ndarray, conv: Conv, processor: Processor) -> np.ndarray:
    """Pack OIHW weights as (group, output block, height, width, input channel, output channel).

    The output block is the smallest power of two that holds a group's output channels, at most one vector. Channels
    that one instruction sums lie together, after the output channel; see `packing.in_panels`.
    """
    out, dot = conv.out_channels // conv.groups, _dot(str(weight.dtype), processor)
    # The narrowest vector that instructions sum into.
    lanes = max(min(processor.lanes(), 1 << (out - 1).bit_length()), FEWEST_LANES if dot.values > 1 else 1)
    groups = weight.reshape(conv.groups, out, *weight.shape[1:])
    return np.stack([in_panels(group, lanes, dot) for group in groups])


def compute(conv: Conv, data: Tensor, weight: Tensor, block: int, processor: Processor, border: int = 0) -> Tensor:
    """Return the grouped convolution of blocked or plain `data` with packed `weight`, in channel blocks of `block`."""
    te, tirx, dot = tvm.te, tvm.tirx, _dot(str(data.dtype), processor)
    groups, blocks, _, _, steps, lanes, *_ = (int(size) for size in weight.shape)
    depth, outputs = conv.group_channels, conv.out_channels // conv.groups
    tile = output_tile(conv.out_height, conv.out_width, blocks, conv.batch * groups, processor)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    height = (rows - 1) * conv.stride[0] + conv.extent[0]
    width = (columns - 1) * conv.stride[1] + conv.extent[1]
    top, left = conv.padding[:2]

    def gathered(n: Expr, g: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        inside = [h >= top, h < conv.height + top, w >= left, w < conv.width + left]
        if steps * dot.values > depth:
            inside.append(c < depth)
        return copied(inside, read_channel(data, n, g * depth + c, h - top, w - left), dot.data, border)

    def as_it_lies(n: Expr, g: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
        return read_channel(data, n, g * depth + c, h, w)

    # A pointwise one reads the input itself, one number for a whole vector of outputs.
    covered = conv.is_pointwise and (rows, columns) == (conv.height, conv.width)
    if covered and data.dtype == dot.data and dot.values == 1 and not isinstance(processor, Gpu):
        source = as_it_lies
    else:
        source = te.compute((conv.batch, groups, height, width, steps * dot.values), gathered, name="gathered")
    kh, kw = (te.reduce_axis((0, size), name) for size, name in zip(conv.kernel, ("kh", "kw"), strict=True))
    ci, value = te.reduce_axis((0, steps), "ci"), value_axis(dot)

    def point(n: Expr, g: Expr, o: Expr, h: Expr, w: Expr, v: Expr) -> Expr:
        row = h * conv.stride[0] + kh * conv.dilation[0]
        column = w * conv.stride[1] + kw * conv.dilation[1]
        held = source(n, g, row, column, sum(value, ci * dot.values))
        return te.sum(multiplied(held, weight[g, o, kh, kw, ci, v, *value], dot), axis=[kh, kw, ci, *value])

    sums = te.compute(
        (conv.batch, groups, blocks, rows, columns, lanes), point, name="grouped",
        attrs={**annotation("grouped", tile), OUTPUTS: outputs},
    )  # fmt: skip
    out_blocks = -(-conv.out_channels // block)

    def element(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        channel = co * block + ci
        own = channel % outputs
        held = sums[n, channel // outputs, own // lanes, h, w, own % lanes]
        if out_blocks * block == conv.out_channels:
            return held
        return tirx.if_then_else(channel < conv.out_channels, held, tirx.const(0, dot.sums))

    shape = (conv.batch, out_blocks, conv.out_height, conv.out_width, block)
    return te.compute(shape, element, name="output")


def _dot(dtype: str, processor: Processor) -> Dot:
    """Return how to multiply; a GPU multiplies one value at a time, for its groups have few channels to share."""
    dot = dot_of(dtype, processor, matrices=False)
    if not isinstance(processor, Gpu) or dot.sums != "int32":
        return dot
    # Workaround: TVM 0.27: its CUDA C makes a vector of one byte only if that is constant; tests/workarounds
    return replace(dot, values=1, data="int32", instruction="")


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`: ``tile`` is (rows, columns, channel vectors) of sums in registers."""
    tile = tile_of(sch, block)
    _, _, vectors, rows, columns, *_ = extents(sch, block)
    tiles = [
        (h, w, v)
        for h, w, v in product(divisors(rows), divisors(columns), divisors(vectors))
        if Tile(h, w, v).registers <= cpu.tile_registers
    ]
    return {"tile": rule_first((tile.height, tile.width, tile.vectors), tiles)}


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Gather, convolve and scatter one after the other, each in parallel; the tile's sums stay in registers."""
    tile = Tile(*choice["tile"])
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    for producer in sch.get_producers(block):
        # Row by row: of channels that lie last, those of all groups come with the same cache lines.
        n, g, h, *_ = sch.get_loops(producer)
        sch.reorder(n, h, g)
        parallel(sch, sch.fuse(n, h), cpu)
        _vectorize(sch, producer, cpu.lanes())
    scatter = sch.get_loops(last)
    parallel(sch, sch.fuse(*scatter[:3]), cpu)
    _vectorize(sch, last, gcd(cpu.lanes(), int(sch.get(block).annotations[OUTPUTS])))
    sums = sch.cache_write(block, 0, "local")
    n, g, o, h, w, v, kh, kw, ci, *value = sch.get_loops(block)
    lanes = int(sch.get(v).extent)
    oo, oi = sch.split(o, [None, tile.vectors])
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    sch.reorder(n, g, oo, ho, wo, kh, kw, ci, oi, hi, wi, v, *value)
    tiles = sch.fuse(n, g, oo, ho, wo)
    sch.reverse_compute_at(sums, tiles)
    parallel(sch, tiles, cpu)
    if not value:
        sch.vectorize(v)
    for loop in (oi, hi, wi):
        sch.unroll(loop)
    vectorize_inner(sch, sums, sch.get_loops(sums)[1:], lanes)
    first = sch.decompose_reduction(block, kh)
    vectorize_inner(sch, first, sch.get_loops(first)[1:], lanes)
    sum_values(sch, block, v, value, cpu)


def _vectorize(sch: Schedule, block: SBlock, most: int) -> None:
    """Vectorise the innermost loop of `block`, channels, by as many of them as divide it and `most`."""
    channels = sch.get_loops(block)[-1]
    width = gcd(int(sch.get(channels).extent), most)
    if width >= FEWEST_LANES:
        _, vector = sch.split(channels, [None, width])
        sch.vectorize(vector)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`: ``tile`` is (rows, columns, channel vectors) of a thread's sums."""
    rule = group_of(sch, block).thread
    _, _, vectors, rows, columns, *_ = extents(sch, block)
    tiles = [
        (h, w, v) for h, w, v in product(divisors(rows), divisors(columns), divisors(vectors)) if h * w * v <= gpu.sums
    ]
    return {"tile": rule_first((rule.height, rule.width, rule.vectors), tiles)}


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Gather, convolve and scatter one after the other; a tile's sums stay in the registers of a thread."""
    tile = Tile(*choice["tile"])
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    for producer in sch.get_producers(block):
        bind_all(sch, producer, gpu)
    bind_all(sch, last, gpu)
    sums = sch.cache_write(block, 0, "local")
    n, g, o, h, w, v, kh, kw, ci = sch.get_loops(block)
    oo, oi = sch.split(o, [None, tile.vectors])
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    sch.reorder(n, g, oo, ho, wo, kh, kw, ci, oi, hi, wi, v)
    thread = bind_points(sch, (n, g, oo, ho, wo), gpu)
    sch.reverse_compute_at(sums, thread)
    for loop in (oi, hi, wi):
        sch.unroll(loop)
    vectorize_inner(sch, sums, sch.get_loops(sums)[2:], gpu.lanes())
    vectorize_sums(sch, block, kh, v)
