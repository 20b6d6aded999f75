"""Output size and GPU → the tile of a convolution: what a thread computes, and how many threads a work-group has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil, prod

from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.matrix_tiling import Reduction, matrix_tile
from dlas_ops.schedule.steps import divisors
from dlas_ops.schedule.tiling import Tile, register_tile

# Cycles of the reads, in those of a vector: from the caches or shared memory, and from the device's memory.
NEAR, FAR = 1.0, 4.0

# A tuner tries tiles that leave a thread so many times the sums that the rules give it, at most.
MOST_SUMS = 2
# A work-group of half a warp leaves the other half idle.
IDLE = 2

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class GroupTile(Tile):
    """The tile of a work-group: `threads` threads along (rows, columns, channel vectors), which divide its extents."""

    threads: Triple = (1, 1, 1)

    @property
    def thread(self) -> Tile:
        """The tile of one thread."""
        return Tile(*(size // count for size, count in zip(self.extents, self.threads, strict=True)))

    @property
    def extents(self) -> Triple:
        """Rows, columns and channel vectors."""
        return self.height, self.width, self.vectors


def output_tile(
    height: int, width: int, vectors: int, batch: int, processor: Processor, reduction: Reduction | None = None
) -> Tile:
    """Return the tile that a convolution is laid out in: on a CPU of its registers, on a GPU of a work-group.

    Only of a known `reduction` can it be one of matrices, where the CPU multiplies these faster.
    """
    if isinstance(processor, Gpu):
        return group_tile(height, width, vectors, batch, processor)
    in_matrices = reduction and matrix_tile(height, width, vectors, batch, reduction, processor)
    return in_matrices or register_tile(height, width, vectors, batch, processor)


@cache
def group_tile(height: int, width: int, vectors: int, batch: int, gpu: Gpu) -> GroupTile:
    """Return the tile that computes `height` x `width` points by `vectors` channel vectors in the fewest cycles.

    The model counts, per step of the reduction, a thread's multiply-adds and reads, what a work-group brings from the
    device's memory, the points computed beyond the edge and the idle units of the last round.
    """
    sizes = _sizes(height), _sizes(width), tuple(size for size in divisors(vectors) if size <= gpu.sums)
    best, best_cost = GroupTile(1, 1, 1), (float("inf"), 0, 0)
    for each in product(*sizes):
        if prod(each) > gpu.sums:
            continue
        for threads in _threads(gpu, vectors // each[2]):
            h, w, v = (size * count for size, count in zip(each, threads, strict=True))
            if h >= 2 * height or w >= 2 * width:  # half of the threads would compute nothing
                continue
            tile = GroupTile(h, w, v, threads)
            cycles = _cycles(tile, gpu) * _rounds(tile, height, width, vectors, batch, gpu)
            # Of equals the one that computes fewest points beyond the edge, and of these the larger one: it reads less.
            cost = (cycles, prod(tile.covers(height, width)), -tile.accumulators)
            if cost < best_cost:
                best, best_cost = tile, cost
    return best


@cache
def group_tiles(extents: Triple, gpu: Gpu) -> list[tuple[Triple, Triple]]:
    """Return the sensible tiles of a work-group, with its threads, for so many rows, columns and channel vectors.

    Tiles divide the extents, and threads the tiles. What is left out asks for more sums than a thread's registers hold,
    even if there are more of them than the rules count on, or leaves most threads of a warp idle.
    """
    found = []
    along = [_shares(extent, gpu) for extent in extents]
    for rows, columns in product(*along[:2]):
        if not _is_sensible((rows, columns), gpu):
            continue
        for vectors in along[2]:
            axes = (rows, columns, vectors)
            threads = prod(count for _, count in axes)
            if _is_sensible(axes, gpu) and ceil(threads / gpu.warp) * gpu.warp <= IDLE * threads:
                h, w, v = (size * count for size, count in axes)
                found.append(((h, w, v), (rows[1], columns[1], vectors[1])))
    return found


def _shares(extent: int, gpu: Gpu) -> list[tuple[int, int]]:
    """Return how many of `extent` points a thread may compute, and how many threads may."""
    sizes = [size for size in divisors(extent) if size <= MOST_SUMS * gpu.sums]
    return [(size, count) for size in sizes for count in divisors(extent // size) if count <= gpu.threads]


def _is_sensible(axes: Sequence[tuple[int, int]], gpu: Gpu) -> bool:
    """Tell whether a thread has the registers and a work-group the threads for (points, threads) along some axes."""
    sums, threads = prod(size for size, _ in axes), prod(count for _, count in axes)
    return sums <= MOST_SUMS * gpu.sums and threads <= gpu.threads


def _sizes(extent: int) -> tuple[int, ...]:
    """Return what a thread may compute of `extent` points: powers of two, and all if they are few."""
    return tuple(sorted({size for size in (1, 2, 4, 8) if size < 2 * extent} | ({extent} if extent <= 14 else set())))


def _threads(gpu: Gpu, vectors: int) -> list[Triple]:
    """Return the shapes of work-groups: powers of two along rows and columns, divisors of `vectors` along channels."""
    powers = [1 << power for power in range(gpu.threads.bit_length())]
    along = [size for size in divisors(vectors) if size <= gpu.threads]
    return [(h, w, v) for h, w, v in product(powers, powers, along) if h * w * v <= gpu.threads]


def _cycles(tile: GroupTile, gpu: Gpu) -> float:
    own, count = tile.thread, prod(tile.threads)
    shared = count if gpu.stages else 1
    far = (tile.points / gpu.vector + tile.vectors) if gpu.stages else (own.points / gpu.vector + own.vectors)
    return own.accumulators * gpu.vector_cycles + NEAR * (own.points + own.vectors) + FAR * far / shared


def _rounds(tile: GroupTile, height: int, width: int, vectors: int, batch: int, gpu: Gpu) -> int:
    rows, columns = tile.covers(height, width)
    groups = batch * (rows // tile.height) * (columns // tile.width) * (vectors // tile.vectors)
    threads = ceil(prod(tile.threads) / gpu.warp) * gpu.warp
    return ceil(groups * threads / (gpu.units * gpu.threads))
