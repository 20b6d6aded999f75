"""Output size and processor → the register tile of a convolution: points x output-channel vectors held in registers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil

from dlas_ops.processor.cpus import Cpu


@dataclass(frozen=True)
class Tile:
    """A register tile of `height` x `width` output points by `vectors` vectors of output channels."""

    height: int
    width: int
    vectors: int

    @property
    def points(self) -> int:
        """Output points in the tile."""
        return self.height * self.width

    @property
    def accumulators(self) -> int:
        """Vector registers that hold sums."""
        return self.points * self.vectors

    @property
    def registers(self) -> int:
        """Vector registers in use: the sums, the weights and, when it is used more than once, the broadcast input."""
        return self.accumulators + self.vectors + (self.vectors > 1)

    def covers(self, height: int, width: int) -> tuple[int, int]:
        """Return `height` and `width` rounded up to whole tiles."""
        return ceil(height / self.height) * self.height, ceil(width / self.width) * self.width


def register_tile(height: int, width: int, vectors: int, batch: int, cpu: Cpu) -> Tile:
    """Return the tile that computes `height` x `width` points by `vectors` channel vectors in the fewest cycles.

    The model counts, per step of the reduction, the cycles of the multiply-adds, of the loads (one vector of weights
    per channel vector and one broadcast per point), of the latency that too few sums leave uncovered and of the
    weights' way from the L2 cache, then the points computed beyond the edge and the idle cores of the last round.
    """
    return _best(height, width, vectors, batch, cpu)[0]


def cycles(height: int, width: int, vectors: int, batch: int, cpu: Cpu) -> float:
    """Return what the model of `register_tile` counts for its tile, per step of the reduction."""
    return _best(height, width, vectors, batch, cpu)[1]


def _best(height: int, width: int, vectors: int, batch: int, cpu: Cpu) -> tuple[Tile, float]:
    best, best_cost = Tile(1, 1, 1), float("inf")
    for tile in _candidates(height, width, vectors, cpu):
        cost = _cycles(tile, cpu) * _rounds(tile, height, width, vectors, batch, cpu)
        # Of equals the one that loads its weights for the most points: they may come from beyond the L2 cache.
        if (cost, -tile.points) < (best_cost, -best.points):
            best, best_cost = tile, cost
    return best, best_cost


def _candidates(height: int, width: int, vectors: int, cpu: Cpu) -> list[Tile]:
    limit = cpu.tile_registers
    by_vectors = [size for size in range(1, min(vectors, limit) + 1) if vectors % size == 0]
    heights, widths = range(1, min(height, limit) + 1), range(1, min(width, limit) + 1)
    # A tile of several rows takes them whole: its points then lie close together.
    tiles = (Tile(h, w, v) for v, w, h in product(by_vectors, widths, heights) if h == 1 or w == width or w % 2 == 0)
    return [tile for tile in tiles if tile.registers <= limit]


def _cycles(tile: Tile, cpu: Cpu) -> float:
    return max(
        tile.accumulators / cpu.multiply_adds,
        (tile.points + tile.vectors) / cpu.loads,
        cpu.latency,
        tile.vectors / cpu.l2_loads,
    )


def _rounds(tile: Tile, height: int, width: int, vectors: int, batch: int, cpu: Cpu) -> int:
    rows, columns = tile.covers(height, width)
    tiles = batch * (rows // tile.height) * (columns // tile.width) * (vectors // tile.vectors)
    return ceil(tiles / cpu.cores)
