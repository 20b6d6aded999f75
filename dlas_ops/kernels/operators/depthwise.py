"""Depthwise convolution in channel blocks: one vector holds one point of as many channels as it has lanes."""

from __future__ import annotations

from math import gcd, prod

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Tensor
from dlas_ops.kernels.shared.blocks import annotation, multiplied, padded, wide
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import Slices
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.steps import (
    Epilogue,
    copy_stage,
    divisors,
    extents,
    map_stage,
    parallel,
    tile_of,
    vectorize_inner,
)
from dlas_ops.schedule.threads import bind_all, bind_points, vectorize_sums
from dlas_ops.schedule.tiling import Tile
from dlas_ops.schedule.tunables import Choice, Space, rule_first

# Products that a float16 sum may take: of 25 of positive inputs, an error of 2.4e-3 of the largest output was seen.
MOST_HALF = 16


def in_half(conv: Conv, dtype: str, processor: Processor) -> bool:
    """Tell whether `conv` of activations stored in `dtype` is computed in float16."""
    return dot_of(dtype, processor, prod(conv.kernel) <= MOST_HALF).sums == "float16"


def pack(weight: np.ndarray, blocks: int, block: int) -> np.ndarray:
    """Pack (channel, 1, kernel) weights as (channel block, kernel, channel), padded with zeros."""
    filled = np.zeros((blocks * block, *weight.shape[2:]), weight.dtype)
    filled[: weight.shape[0]] = weight[:, 0]
    return np.ascontiguousarray(np.moveaxis(filled.reshape(blocks, block, *weight.shape[2:]), 1, -1))


def compute(
    conv: Conv, data: Tensor, weight: Tensor, processor: Processor, border: int = 0, slices: Slices | None = None
) -> Tensor:
    """Return the depthwise convolution of blocked `data` with packed `weight`, in the same blocks.

    Of a volume, `conv` is that of its slices, and `slices` tells which of them one slice of the output reads.
    """
    te, dot = tvm.te, dot_of(str(data.dtype), processor, slices is None and in_half(conv, str(data.dtype), processor))
    blocks, *kernel, block = (int(size) for size in weight.shape)
    tile = window_tile(conv.out_height, conv.out_width, processor)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    held = dot.data if dot.sums == "float16" else wide(str(data.dtype))
    source = padded(data, conv, rows, columns, block, border, held, slices)
    names = ("kd", "kh", "kw")[-len(kernel) :]
    axes = [te.reduce_axis((0, size), name) for size, name in zip(kernel, names, strict=True)]

    def point(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        *depth, kh, kw = axes
        row = h * conv.stride[0] + kh * conv.dilation[0]
        column = w * conv.stride[1] + kw * conv.dilation[1]
        image = n if slices is None else slices.seen(n, depth[0])
        return te.sum(multiplied(source[image, co, row, column, ci], weight[(co, *axes, ci)], dot), axis=axes)

    images = conv.batch if slices is None else conv.batch // slices.depth * slices.outputs
    sums = te.compute(
        (images, blocks, rows, columns, block), point, name="depthwise", attrs=annotation("depthwise", tile)
    )
    shape = (images, blocks, conv.out_height, conv.out_width, block)
    result = wide(dot.sums)
    return te.compute(shape, lambda *index: sums[index].astype(result), name="output")


def window_tile(height: int, width: int, processor: Processor) -> Tile:
    """Return the tile of output points whose sums one step of a sliding window holds in registers."""
    limit = (processor.sums if isinstance(processor, Gpu) else processor.vector_registers) // 2
    widths = [size for size in range(1, min(width, limit) + 1) if width % size == 0]
    best = max(widths) if max(widths) > 2 or width <= 2 else min(width, limit // 2)
    rows = [size for size in range(1, min(height, limit // best) + 1) if height % size == 0]
    return Tile(max(rows), best, 1)


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`.

    ``tile`` is (rows, columns) of sums in registers; ``outer`` says what the parallel loop runs over first: channels or
    rows of points.
    """
    tile = tile_of(sch, block)
    _, blocks, rows, columns, *_ = extents(sch, block)
    tiles = [(h, w) for h in divisors(rows) for w in divisors(columns) if h * w < cpu.tile_registers]
    # As the activations lie in memory: a core then reads what it wrote as the convolution before, from its own cache.
    # In networks of NHWC that makes MobileNetV2 8 % faster, and in blocked ones rows would make MobileNetV1 3 % slower.
    outer = ["points", "channels"] if blocks == 1 else ["channels", "points"]
    return {"tile": rule_first((tile.height, tile.width), tiles), "outer": outer}


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Sum a tile of points in registers, one vector of channels at a time, over all such tiles in parallel."""
    height, width = choice["tile"]
    epilogue = Epilogue(sch, block)
    n, co, h, w, ci, *window = sch.get_loops(block)
    lanes = gcd(cpu.lanes(_bits(sch, block)), int(sch.get(ci).extent))
    cio, v = sch.split(ci, [None, lanes])
    ho, hi = sch.split(h, [None, height])
    wo, wi = sch.split(w, [None, width])
    points_outside = choice["outer"] == "points"
    order = (n, ho, co, cio) if points_outside else (n, co, cio)
    sch.reorder(*order, *([] if points_outside else [ho]), wo, *window, hi, wi, v)
    outer = sch.fuse(*order)
    producers = sch.get_producers(block)
    sch.set_scope(block, 0, "local")
    epilogue.place(wo)
    parallel(sch, outer, cpu)
    sch.vectorize(v)
    for loop in (*window[-2:], hi, wi):
        sch.unroll(loop)
    for producer in producers if len(window) == 2 else ():
        sch.compute_at(producer, outer)
        *_, inner = sch.get_loops(producer)
        sch.vectorize(inner)
    for producer in producers if len(window) > 2 else ():  # neighbouring slices of the output read the same ones
        copy_stage(sch, producer, cpu)
    depth = 2 if points_outside else 3
    epilogue.vectorize(depth, lanes)
    if epilogue.rest is not None:
        map_stage(sch, epilogue.rest, cpu)
    first = sch.decompose_reduction(block, window[0])
    vectorize_inner(sch, first, sch.get_loops(first)[depth:], lanes)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`: ``tile`` is (rows, columns) of sums in the registers of a thread."""
    tile = tile_of(sch, block)
    _, _, rows, columns, *_ = extents(sch, block)
    tiles = [(h, w) for h in divisors(rows) for w in divisors(columns) if h * w <= gpu.sums]
    return {"tile": rule_first((tile.height, tile.width), tiles)}


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Give each thread a tile of points of one vector of channels."""
    height, width = choice["tile"]
    epilogue, producers = Epilogue(sch, block), sch.get_producers(block)
    n, co, h, w, ci, *window = sch.get_loops(block)
    cio, v = sch.split(ci, [None, gcd(gpu.lanes(), int(sch.get(ci).extent))])
    ho, hi = sch.split(h, [None, height])
    wo, wi = sch.split(w, [None, width])
    sch.reorder(n, co, ho, wo, cio, *window, hi, wi, v)
    thread = bind_points(sch, (n, co, ho, wo, cio), gpu)
    sch.set_scope(block, 0, "local")
    epilogue.place(thread)
    for producer in producers:
        sch.compute_inline(producer)
    for loop in (*window[-2:], hi, wi):
        sch.unroll(loop)
    epilogue.vectorize(2, gpu.lanes())
    if epilogue.rest is not None:
        bind_all(sch, epilogue.rest, gpu)
    vectorize_sums(sch, block, window[0], v)


def _bits(sch: Schedule, block: SBlock) -> int:
    """Return the width of one element of what `block` computes."""
    return int(tvm.DataType(str(sch.get(block).writes[0].source.dtype)).bits)
