"""Sums of a convolution → the same on a GPU, a tile of them in the registers of each thread: what algorithms share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.group_tiling import GroupTile, group_tiles
from dlas_ops.schedule.register_tiles import sources
from dlas_ops.schedule.steps import Epilogue, divisors, inline_rest
from dlas_ops.schedule.threads import GROUP, SHARED, THREAD, bind_all, vectorize_copy, vectorize_sums
from dlas_ops.schedule.tunables import Choice, Space, rule_first

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
    lanes = int(sch.get(spatial[-1]).extent)
    if gpu.stages and not alone and prod(int(sch.get(spatial[index]).extent) for index in (0, 2, 3)) == 1:
        sum_together(sch, block, spatial, [*reduction, *value], parts_of(lanes, gpu)[0], gpu)
        _bind_each(sch, producers, gpu)
        return
    epilogue = (Epilogue.copy if alone else Epilogue.apart if apart else Epilogue)(sch, block)
    (rows, columns, vectors), counts = choice["tile"]
    tile = GroupTile(rows, columns, vectors, counts)
    thread, own = _bind_tile(sch, spatial, reduction, value, tile, channels_first)
    sch.set_scope(block, 0, "local")
    epilogue.place(thread)
    for loop in own:
        sch.unroll(loop)
    if gpu.stages:
        inside = _staged(sch, block, producers, reduction, tile, gpu, window)
    else:
        inside = list(reduction)
        _bind_each(sch, producers, gpu)
    epilogue.vectorize(2, lanes)
    if epilogue.rest is not None:
        bind_all(sch, epilogue.rest, gpu)
    vectorize_sums(sch, block, inside[0], spatial[-1], value, gpu.dot)


def _bind_each(sch: Schedule, blocks: Sequence[SBlock], gpu: Gpu) -> None:
    for block in blocks:
        bind_all(sch, block, gpu)


def _bind_tile(
    sch: Schedule,
    spatial: Sequence[Loop],
    reduction: Sequence[Loop],
    value: Sequence[Loop],
    tile: GroupTile,
    channels_first: bool,
) -> tuple[Loop, tuple[Loop, Loop, Loop]]:
    """Split the loops of sums into work-groups and threads; see `thread_tiled`.

    Returns
    -------
    The loop over a group's threads, and those over the row, column and channel vector of a thread's own tile.
    """
    n, o, h, w, v = spatial
    oo, ot, oi = sch.split(o, [None, tile.threads[2], tile.thread.vectors])
    ho, ht, hi = sch.split(h, [None, tile.threads[0], tile.thread.height])
    wo, wt, wi = sch.split(w, [None, tile.threads[1], tile.thread.width])
    threads = (ht, wt, ot) if channels_first else (ot, ht, wt)
    sch.reorder(n, oo, ho, wo, *threads, *reduction, hi, wi, oi, v, *value)
    group, thread = sch.fuse(n, oo, ho, wo), sch.fuse(*threads)
    sch.bind(group, GROUP)
    sch.bind(thread, THREAD)
    return thread, (hi, wi, oi)


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
        # Unrolled by NVIDIA's compiler, what is brought at once takes more registers than it allows itself for sm_90.
        sch.annotate(own, "disable_unroll", True)
    sch.reorder(*blocks, begin, *inside)
    copies = [_share(sch, block, index, begin, tile, gpu) for index in (0, 1)]
    for producer in producers:
        sch.compute_inline(producer)
    for held, vector in copies:
        vectorize_copy(sch, held, vector)
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
