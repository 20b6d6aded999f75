"""Dense layer: weights packed in panels of one vector of outputs, a few panels and rows at a time in registers."""

from __future__ import annotations

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Tensor
from dlas_ops.kernels.shared.blocks import annotation, copied, multiplied, value_axis
from dlas_ops.kernels.shared.packing import in_panels
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.group_tiling import output_tile
from dlas_ops.schedule.register_tiles import sum_values
from dlas_ops.schedule.steps import (
    AHEAD_KIB,
    divisors,
    extents,
    fetch_ahead,
    inline_rest,
    parallel,
    tile_of,
    vectorize_inner,
)
from dlas_ops.schedule.thread_tiles import bind_all, bind_points, parts_of, sum_together, vectorize_sums
from dlas_ops.schedule.tiling import Tile
from dlas_ops.schedule.tunables import Choice, Space, rule_first


def pack(weight: np.ndarray, processor: Processor) -> np.ndarray:
    """Pack (inputs, outputs) weights as (output block, input, output), padded with zeros to whole vectors.

    Inputs that one instruction sums lie together, after the output; see `packing.in_panels`.
    """
    return in_panels(weight.T[:, :, None, None], processor.lanes(), dot_of(str(weight.dtype), processor))[:, 0, 0]


def compute(data: Tensor, weight: Tensor, outputs: int, processor: Processor) -> Tensor:
    """Return `data` (rows, inputs) times packed `weight`, as (rows, outputs)."""
    te, dot = tvm.te, dot_of(str(data.dtype), processor)
    blocks, groups, lanes, *_ = (int(size) for size in weight.shape)
    rows, inputs = (int(size) for size in data.shape)
    depth = groups * dot.values
    tile = output_tile(1, rows, blocks, 1, processor)
    _, padded_rows = tile.covers(1, rows)
    if padded_rows > rows or depth > inputs or data.dtype != dot.data:
        filled = te.compute(
            (padded_rows, depth),
            lambda r, k: copied([r < rows, k < inputs], data[r, k], dot.data),
            name="padded",
        )
    else:
        filled = data
    k, value = te.reduce_axis((0, groups), "k"), value_axis(dot)

    def point(o: Expr, r: Expr, v: Expr) -> Expr:
        held = filled[r, sum(value, k * dot.values)]
        return te.sum(multiplied(held, weight[o, k, v, *value], dot), axis=[k, *value])

    sums = te.compute((blocks, padded_rows, lanes), point, name="dense", attrs=annotation("dense", tile))
    return te.compute((rows, outputs), lambda r, c: sums[c // lanes, r, c % lanes], name="output")


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`.

    ``tile`` is (rows, panels) of sums in registers; ``prefetch`` is how many KiB ahead the weights are asked for.
    """
    tile = tile_of(sch, block)
    panels, rows, *_ = extents(sch, block)
    tiles = [(r, o) for r in divisors(rows) for o in divisors(panels) if Tile(1, r, o).registers <= cpu.tile_registers]
    return {"tile": rule_first((tile.width, tile.vectors), tiles), "prefetch": AHEAD_KIB}


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Hold the sums of a few panels in registers; the small result is copied out, with its epilogue, at the end."""
    rows, panels = choice["tile"]
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    for producer in sch.get_producers(block):
        parallel(sch, sch.get_loops(producer)[0], cpu)
    sums = sch.cache_write(block, 0, "local")
    o, r, v, k, *value = sch.get_loops(block)
    lanes = int(sch.get(v).extent)
    oo, oi = sch.split(o, [None, panels])
    ro, ri = sch.split(r, [None, rows])
    sch.reorder(oo, ro, k, oi, ri, v, *value)
    tiles = sch.fuse(oo, ro)
    sch.reverse_compute_at(sums, tiles)
    parallel(sch, tiles, cpu)
    if not value:
        sch.vectorize(v)
    sch.unroll(oi)
    sch.unroll(ri)
    vectorize_inner(sch, sums, sch.get_loops(sums)[1:], lanes)
    first = sch.decompose_reduction(block, k)
    vectorize_inner(sch, first, sch.get_loops(first)[1:], lanes)
    sum_values(sch, block, v, value, cpu)
    fetch_ahead(sch, k, choice["prefetch"])
    *_, columns = sch.get_loops(last)
    if int(sch.get(columns).extent) % lanes == 0:
        sch.vectorize(sch.split(columns, [None, lanes])[1])


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`: ``parts``, where threads share memory, is how many sum one output."""
    _, _, lanes, *_ = extents(sch, block)
    return {"parts": parts_of(lanes, gpu)} if gpu.stages else {}


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Give each work-group one panel of one row; the small result is copied out, with its epilogue, at the end.

    Its threads sum parts of the inputs, if they share memory to add these sums in; else one thread sums them all.
    """
    for producer in sch.get_producers(block):
        bind_all(sch, producer, gpu)
    o, r, v, k, *value = sch.get_loops(block)
    if gpu.stages:
        sum_together(sch, block, (o, r, v), (k, *value), choice["parts"], gpu)
        return
    bind_all(sch, inline_rest(sch, sch.get_consumers(block)[0], block), gpu)
    sums = sch.cache_write(block, 0, "local")
    sch.reorder(o, r, k, v, *value)
    # TVM puts no instruction in the place of a loop where a thread's number stands for two indices.
    thread = bind_points(sch, (o,) if value else (o, r), gpu, whole=bool(value))
    sch.reverse_compute_at(sums, thread)
    vectorize_inner(sch, sums, sch.get_loops(sums)[2:], gpu.lanes())
    vectorize_sums(sch, block, k, v, value, gpu.dot)
