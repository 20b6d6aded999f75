"""Output size, reduction and processor → the tile of a convolution whose sums are in registers of matrices (AMX)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import NamedTuple

from dlas_ops.processor import matrix
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import Dot, multiplies_matrices, of_products
from dlas_ops.schedule.steps import divisors
from dlas_ops.schedule.tiling import Tile, cycles

# Cycles, measured on Emerald Rapids. Those of a product and of LOAD are in Intel's optimization manual, too.
PRODUCT = 16  # whatever the number of its rows
AGAIN = 9  # at least, by the weights of the product before it: then it takes one for each of its rows
LOAD = 0.5  # a row of points, from the L1 cache
LOAD_WEIGHTS = 1.2  # a row of weights, from the L2 cache
SUMS = 7  # what a row of sums takes longer than in vectors: it goes through memory, and no product runs beside its use
BEGIN = 216  # to begin with matrices and to end with them

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

    None where vectors take hardly more. The model counts a tile's products or loads, whichever take longer, and its
    sums. Of equal tiles it returns the one that loads least.
    """
    if not multiplies_matrices(reduction.dot, cpu):
        return None
    best: MatrixTile | None = None
    in_vectors = cycles(height, width, vectors, batch, of_products(reduction.dot, cpu))
    best_cost = WORTH * in_vectors * reduction.groups * reduction.times, 0.0
    for tile in matrix_tiles(height, width, vectors, reduction.step, reduction.joined):
        rows, columns = tile.covers(height, width)
        tiles = batch * (rows // tile.height) * (columns // tile.width) * (vectors // tile.vectors)
        steps = reduction.groups // tile.groups * reduction.times
        share = ceil(tiles / cpu.cores)
        products, loads, sums = _cycles(tile)
        cost = BEGIN + share * (steps * max(products, loads) + sums), share * steps * loads
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


def _cycles(tile: MatrixTile) -> tuple[float, float, float]:
    """Return what the products and the loads of one step of the reduction take, and the sums of the whole tile."""
    held = in_matrices(tile.height, tile.width, tile.joined)
    assert held is not None
    count, rows = held
    products = tile.vectors * (PRODUCT + (count - 1) * max(rows, AGAIN))
    loads = LOAD * count * rows + LOAD_WEIGHTS * tile.vectors * tile.groups
    return products, loads, SUMS * count * rows * tile.vectors
