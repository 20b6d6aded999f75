"""Output size, reduction and processor → the tile of a convolution whose sums are in registers of matrices (AMX)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import NamedTuple

from dlas_ops.processor import matrix
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import Dot, multiplies_matrices
from dlas_ops.schedule.steps import divisors
from dlas_ops.schedule.tiling import Tile, cycles

# Cycles until a sum can be added to again; what one row takes to load and to store, from and to the L1 cache; what a
# tile costs beyond its rows. Source: Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX:
# throughput 16, 8 and 16 cycles for the 16 rows of a product, a load and a store, latency 52.
LATENCY, LOAD, STORE, BEGIN = 52, 0.5, 1.0, 64

# Matrices have to take no more than this part of what vectors take by the model, whose sums need no way through memory.
WORTH = 0.8


class Reduction(NamedTuple):
    """The products of one sum: `groups` of `dot.values`, so many `times`.

    `joined` says that the rows of points that a tile reads follow each other in memory.
    """

    dot: Dot
    groups: int
    times: int
    joined: bool

    @property
    def step(self) -> int:
        """Groups that one instruction adds."""
        return max(size for size in divisors(self.groups) if size <= matrix.ROWS)


@dataclass(frozen=True)
class MatrixTile(Tile):
    """A tile whose sums are matrices: `groups` is what one instruction adds, `joined` as the reduction has it."""

    groups: int = 1
    joined: bool = False


def in_matrices(height: int, width: int, joined: bool) -> tuple[int, int] | None:
    """Return how many matrices of how many rows hold `height` x `width` points, all the same; None: there are none."""
    height, width = (1, height * width) if joined else (height, width)
    count = ceil(width / matrix.ROWS)
    return None if width % count else (height * count, width // count)


def matrix_tile(height: int, width: int, vectors: int, batch: int, reduction: Reduction, cpu: Cpu) -> MatrixTile | None:
    """Return the tile that computes `height` x `width` points by `vectors` channel vectors in the fewest cycles.

    None where vectors take hardly more. The model counts the longest of a tile's products, loads and latency, and the
    stores of its sums.
    """
    if not multiplies_matrices(reduction.dot, cpu):
        return None
    best: MatrixTile | None = None
    best_cost = WORTH * cycles(height, width, vectors, batch, cpu) * reduction.groups * reduction.times
    for tile in matrix_tiles(height, width, vectors, reduction.step, reduction.joined):
        rows, columns = tile.covers(height, width)
        tiles = batch * (rows // tile.height) * (columns // tile.width) * (vectors // tile.vectors)
        steps = reduction.groups // tile.groups * reduction.times
        cost = ceil(tiles / cpu.cores) * _cycles(tile, steps)
        if cost < best_cost:
            best, best_cost = tile, cost
    return best


def matrix_tiles(height: int, width: int, vectors: int, groups: int, joined: bool) -> Iterator[MatrixTile]:
    """Yield the tiles of at most `height` x `width` points and of a divisor of `vectors` that the registers hold."""
    most = matrix.REGISTERS * matrix.ROWS
    shapes = [(h, w) for h in range(1, min(height, most) + 1) for w in range(1, min(width, most // h) + 1)]
    for (h, w), v in product(shapes, divisors(vectors)):
        # Only whole rows of points follow each other.
        together = joined and (h == 1 or w == width)
        held = in_matrices(h, w, together)
        if held and matrix.fits(held[0], v):
            yield MatrixTile(h, w, v, groups, together)


def _cycles(tile: MatrixTile, steps: int) -> float:
    held = in_matrices(tile.height, tile.width, tile.joined)
    assert held is not None
    count, rows = held
    sums = count * tile.vectors * rows
    loads = LOAD * (count * rows + tile.vectors * tile.groups)
    return steps * max(sums, loads, LATENCY) + STORE * sums + BEGIN
