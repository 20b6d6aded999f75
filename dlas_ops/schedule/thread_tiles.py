"""Sums of a convolution → the same on a GPU, a tile of them in the registers of each thread: what algorithms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor.gpu_dot import summed
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.group_tiling import GroupTile, group_tiles
from dlas_ops.schedule.register_tiles import sources
from dlas_ops.schedule.steps import Epilogue, divisors, extents, inline_rest, vectorize_inner
from dlas_ops.schedule.tunables import Choice, Space, rule_first

GROUP, THREAD = "blockIdx.x", "threadIdx.x"
SHARED = "shared"
BYTE = 8

# Part of the shared memory that one work-group takes, so that another one computes while it waits.
SHARED_PART = 0.5

# Points that the windows of a tile cover, for one of its own: kernels of 3 x 3 that step by 2 over a large tile.
WINDOW = 4


def group_of(sch: Schedule, block: SBlock) -> GroupTile:
    """Return the work-group's tile that the computation of `block` was laid out for."""
    annotations = sch.get(block).annotations
    height, width, vectors = (int(size) for size in annotations["dlas.tile"])
    rows, columns, channels = (int(size) for size in annotations["dlas.threads"])
    return GroupTile(height, width, vectors, (rows, columns, channels))


def thread_space(sch: Schedule, block: SBlock, spatial: Sequence[int], gpu: Gpu) -> Space:
    """Return the tunables of `thread_tiled` for loops over `block` of these extents.

    ``tile`` is (rows, columns, channel vectors) of a work-group, and how many threads it has along each; ``shared``,
    where work-groups have such memory, is whether they bring there what they read.
    """
    rule = group_of(sch, block)
    _, vectors, rows, columns, _ = spatial
    space = {"tile": rule_first((rule.extents, rule.threads), group_tiles((rows, columns, vectors), gpu))}
    return space | ({"shared": [True, False]} if gpu.stages else {})


def thread_tiled(
    sch: Schedule,
    block: SBlock,
    spatial: Sequence[Loop],
    reduction: Sequence[Loop],
    gpu: Gpu,
    choice: Choice,
    value: Sequence[Loop],
    channels_first: bool,
    window: bool = False,
    alone: bool = False,
    apart: bool = False,
) -> None:
    """Give each thread a tile of the sums of `block`, each work-group the tile of its threads, and run the epilogue.

    Parameters
    ----------
    spatial : loops over image, channel vector, row, column and the channel in the vector
    reduction : loops of the reduction, outermost first
    choice : a value for each of `thread_space`'s tunables
    value : the loop over the values that an instruction sums into one lane, if there is one
    channels_first : whether threads next to each other compute neighbouring channels, as channels that lie next to
        each other in memory ask for; else neighbouring points
    window : whether the last loops but one are over the rows and columns of a kernel, which reads the same points anew
    alone : whether what `block` reads and what reads it are kernels of their own, which the caller schedules
    apart : whether the epilogue is a kernel of its own
    """
    gpu = gpu if choice.get("shared") else replace(gpu, shared_bytes=0)
    producers = [] if alone else sources(sch, block)
    # One point of one image reads each weight once: there is nothing to bring to shared memory for several threads.
    if gpu.stages and not alone and prod(int(sch.get(spatial[index]).extent) for index in (0, 2, 3)) == 1:
        sum_together(sch, block, spatial, [*reduction, *value], parts_of(int(sch.get(spatial[-1]).extent), gpu)[0], gpu)
        for producer in producers:
            bind_all(sch, producer, gpu)
        return
    wider = not alone and (apart or _broadcasts(sch, spatial))
    epilogue = None if alone or wider else Epilogue(sch, block)
    sums = sch.cache_write(block, 0, "local") if epilogue is None else None
    (rows, columns, vectors), counts = choice["tile"]
    tile = GroupTile(rows, columns, vectors, counts)
    n, o, h, w, v = spatial
    lanes = int(sch.get(v).extent)
    oo, ot, oi = sch.split(o, [None, tile.threads[2], tile.thread.vectors])
    ho, ht, hi = sch.split(h, [None, tile.threads[0], tile.thread.height])
    wo, wt, wi = sch.split(w, [None, tile.threads[1], tile.thread.width])
    threads = (ht, wt, ot) if channels_first else (ot, ht, wt)
    sch.reorder(n, oo, ho, wo, *threads, *reduction, hi, wi, oi, v, *value)
    group, thread = sch.fuse(n, oo, ho, wo), sch.fuse(*threads)
    sch.bind(group, GROUP)
    sch.bind(thread, THREAD)
    if epilogue is not None:
        sch.set_scope(block, 0, "local")
        epilogue.place(thread)
    else:
        sch.reverse_compute_at(sums, thread)
    for loop in (hi, wi, oi):
        sch.unroll(loop)
    if gpu.stages:
        inside = _staged(sch, block, producers, reduction, tile, gpu, window)
    else:
        inside = list(reduction)
        for producer in producers:
            bind_all(sch, producer, gpu)
    if epilogue is not None:
        epilogue.vectorize(2, lanes)
    else:
        vectorize_inner(sch, sums, sch.get_loops(sums)[2:], lanes)
    if wider:
        bind_all(sch, inline_rest(sch, sch.get_consumers(sums)[0], sums), gpu)
    vectorize_sums(sch, block, inside[0], v, value, gpu.dot)


def parts_of(lanes: int, gpu: Gpu) -> list[int]:
    """Return how many threads may sum one channel in `sum_together`: the most that a work-group has, and fewer."""
    most = gpu.threads // lanes
    return [most, *(most >> fewer for fewer in range(1, most.bit_length()))]


def sum_together(
    sch: Schedule, block: SBlock, spatial: Sequence[Loop], reduction: Sequence[Loop], parts: int, gpu: Gpu
) -> None:
    """Sum the products of one vector of channels by the threads of a work-group: of a matrix and a vector.

    The epilogue is a kernel of its own, after all that is summed.

    Parameters
    ----------
    spatial : loops over vectors and, last, the channel in a vector
    reduction : loops of the reduction, outermost first
    parts : threads that sum one channel
    """
    *vectors, lane = spatial
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    sch.reorder(*vectors, lane, *reduction)
    _, part = sch.split(sch.fuse(*reduction), [None, parts])
    sch.reorder(*vectors, lane, part)
    sch.bind(sch.fuse(*vectors), GROUP)
    sch.bind(lane, THREAD)
    sch.bind(part, "threadIdx.y")
    bind_all(sch, last, gpu)


def _broadcasts(sch: Schedule, spatial: Sequence[Loop]) -> bool:
    """Tell whether the epilogue of sums over the loops `spatial` makes more of them, as a gate does for a whole map.

    It is a kernel of its own then: few threads sum what many points are multiplied by.
    """
    computed = prod(int(sch.get(loop).extent) for loop in spatial)
    return any(prod(extents(sch, end)) > computed for end in sch.get_output_blocks(sch.get_sblock("root")))


def _staged(
    sch: Schedule,
    block: SBlock,
    producers: Sequence[SBlock],
    reduction: Sequence[Loop],
    tile: GroupTile,
    gpu: Gpu,
    window: bool,
) -> list[Loop]:
    """Bring what a work-group reads to shared memory, some input channels at a time; return the reduction's loops.

    What `producers` compute is computed as it is brought there.
    """
    *outer, last = reduction
    blocks, kernel = (outer[:-2], outer[-2:]) if window else (outer, [])
    fit = _fitting(sch, block, kernel, tile, gpu)
    extent = int(sch.get(last).extent)
    step = max(size for size in divisors(extent) if size <= fit)
    begin, inner = sch.split(last, [None, step])
    inside = [*kernel, inner]
    if blocks and step == extent:
        *blocks, split = blocks
        more = max(size for size in divisors(int(sch.get(split).extent)) if size <= max(1, fit // step))
        split, own = sch.split(split, [None, more])
        blocks, inside = [*blocks, split], [own, *inside]
    sch.reorder(*blocks, begin, *inside)
    copies = [_share(sch, block, index, begin, tile, gpu) for index in (0, 1)]
    for producer in producers:
        sch.compute_inline(producer)
    for held, vector in copies:
        _vectorize_copy(sch, held, vector)
    return [*blocks, begin, *inside]


def _share(sch: Schedule, block: SBlock, index: int, loop: Loop, tile: GroupTile, gpu: Gpu) -> tuple[SBlock, Loop]:
    """Bring what `block` reads of its source `index` in one iteration of `loop` to shared memory, by all threads.

    Returns
    -------
    The block that does it, and its loop to vectorise.
    """
    held = sch.cache_read(block, index, SHARED)
    sch.compute_at(held, loop, preserve_unit_loops=True)
    around = next(depth for depth, each in enumerate(sch.get_loops(held)) if _is(sch, each, loop)) + 1
    own = sch.get_loops(held)[around:]
    width = gpu.vector if int(sch.get(own[-1]).extent) % gpu.vector == 0 else 1
    _, thread, vector = sch.split(sch.fuse(*own), [None, prod(tile.threads), width])
    sch.bind(thread, THREAD)
    return held, vector


def _is(sch: Schedule, one: Loop, other: Loop) -> bool:
    return bool(sch.get(one).same_as(sch.get(other)))


def _fitting(sch: Schedule, block: SBlock, kernel: Sequence[Loop], tile: GroupTile, gpu: Gpu) -> int:
    """Return how many input channels a work-group can hold of what it reads, at least 1."""
    taps = prod(int(sch.get(loop).extent) for loop in kernel)
    itemsize = max(np.dtype(str(read.source.dtype)).itemsize for read in sch.get(block).reads)
    # A window of points has at most so many more than the tile; the exact number is not known before it is staged.
    points = tile.points * (WINDOW if taps > 1 else 1)
    channel_bytes = itemsize * (points + taps * tile.vectors * gpu.lanes())
    return max(1, int(SHARED_PART * gpu.shared_bytes / channel_bytes))


def bind_all(sch: Schedule, block: SBlock, gpu: Gpu) -> None:
    """Run `block`, element-wise, as a kernel of its own: a vector for each thread where vectors are whole."""
    bind_points(sch, sch.get_loops(block), gpu, vectors=not _gathers_bytes(sch, block))


def _vectorize_copy(sch: Schedule, block: SBlock, vector: Loop) -> None:
    """Vectorise the loop `vector` of a copy, if it is one of several elements."""
    if int(sch.get(vector).extent) > 1 and not _gathers_bytes(sch, block):
        sch.vectorize(vector)


def _gathers_bytes(sch: Schedule, block: SBlock) -> bool:
    """Tell whether neighbours that `block` computes are bytes, and read bytes that are no neighbours."""
    # Workaround: TVM 0.27: its OpenCL C packs gathered bytes as CUDA's int; tests/test_workarounds.py
    from dlas_ops._tvm import tvm

    held = sch.get(block)
    last = held.iter_vars[-1].var
    bytes_read = [read for read in held.reads if tvm.DataType(str(read.source.dtype)).bits == BYTE]
    return any(last in tvm.tirx.analysis.undefined_vars(place.min) for read in bytes_read for place in read.region[:-1])


def bind_points(sch: Schedule, loops: Sequence[Loop], gpu: Gpu, vectors: bool = False, whole: bool = False) -> Loop:
    """Give each thread one iteration of `loops` or, of `vectors`, as many of the innermost one as a vector holds.

    With `whole`, no work-group has threads beyond the last iteration: TVM puts no instruction in the place of a loop
    below a condition.

    Returns
    -------
    The loop over threads.
    """
    *outer, inner = loops
    vector = None
    if vectors and int(sch.get(inner).extent) % gpu.lanes() == 0:
        inner, vector = sch.split(inner, [None, gpu.lanes()])
    fused = sch.fuse(*outer, inner) if outer else inner
    extent = int(sch.get(fused).extent)
    threads = max(size for size in divisors(extent) if size <= gpu.threads) if whole else min(gpu.threads, extent)
    group, thread = sch.split(fused, [None, threads])
    sch.bind(group, GROUP)
    sch.bind(thread, THREAD)
    if vector is not None:
        sch.vectorize(vector)
    return thread


def vectorize_sums(
    sch: Schedule, block: SBlock, reduction: Loop, lane: Loop, value: Sequence[Loop] = (), instruction: str = ""
) -> None:
    """Set the sums of `block` to zero before its loop `reduction`, and compute both a vector at a time.

    Where there is a loop over the `value` that an instruction adds to one sum, that takes its place, lane by lane.
    Nothing can be moved to the block afterwards.
    """
    if value:
        sch.unroll(lane)
    else:
        sch.vectorize(lane)
    first = sch.decompose_reduction(block, reduction)
    *rest, inner = sch.get_loops(first)[2:]
    sch.vectorize(inner)
    for loop in rest:
        sch.unroll(loop)
    for loop in value:
        _, data, weight = (str(read.source.scope()) for read in sch.get(block).reads)
        sch.tensorize(loop, summed(instruction, data, weight))
