"""A convolution of 3 x 3 kernels and a processor → Winograd's tiles, and the panels of them that take fewest cycles."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.winograd_transforms import POINTS
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.group_tiling import output_tile
from dlas_ops.schedule.steps import BYTES, divisors
from dlas_ops.schedule.tiling import Tile

# Cycles per element of a tile and vector of channels that is transformed, out of whole layers' times: a load, a store,
# some additions and what comes from beyond the L1 cache.
TRANSFORM_CYCLES = 6
# The same on a GPU, where transforms are kernels of their own: what they write and read comes from the device's memory.
GPU_TRANSFORM_CYCLES = 40
# Weights that are read for the first time come from beyond the L2 cache.
WEIGHT_BYTES_PER_CYCLE = 8
# Part of the L2 cache that the transformed inputs of one panel may take.
PANEL_OF_L2 = 0.5


@dataclass(frozen=True)
class Work:
    """The work of a layer: `height` x `width` tiles of m x m outputs per image, `vectors` of output channels."""

    m: int
    batch: int
    channels: int
    vectors: int
    height: int
    width: int

    @property
    def elements(self) -> int:
        """Elements of a transformed tile."""
        return (self.m + 2) ** 2

    def panel(self, tile: Tile, count: int) -> tuple[int, int]:
        """Return rows and columns of the largest panel of at most `count` register tiles: of one row, or whole rows."""
        columns = most(self.width // tile.width, count)
        rows = most(self.height // tile.height, count // columns) if columns * tile.width == self.width else 1
        return rows * tile.height, columns * tile.width

    def cycles(self, tile: Tile, count: int, groups: int, cpu: Cpu) -> float:
        """Estimate the cycles of the core that runs most of all pairs of a panel and a group of channel vectors."""
        rows, columns = self.panel(tile, count)
        points, vectors = rows * columns, self.vectors // groups
        rounds = ceil(self.batch * self.height * self.width // points * groups / cpu.cores)
        multiply = points * self.channels * vectors / cpu.multiply_adds
        transform = points * (self.channels / cpu.lanes() + vectors) * TRANSFORM_CYCLES
        # Cores read the same weights at about the same time: however they are split, they come once from beyond the L2
        # cache, or once per panel of a core if what the core multiplies by does not fit its L2 cache.
        weights = self.elements * self.channels * self.vectors * cpu.lanes() * BYTES
        fit = weights / groups * min(rounds, groups) <= cpu.l2_bytes / 2
        reads = weights * (1 if fit else ceil(rounds / groups))
        return self.elements * rounds * (multiply + transform) + reads / (WEIGHT_BYTES_PER_CYCLE * cpu.cores)

    def plan(self, tile: Tile, cpu: Cpu) -> tuple[float, int, int]:
        """Return the fewest cycles, and the register tiles in a panel and the groups of channels that take them."""
        across, down = self.width // tile.width, self.height // tile.height
        counts = [*divisors(across), *(across * rows for rows in divisors(down)[1:])]
        most_points = PANEL_OF_L2 * cpu.l2_bytes / (self.elements * self.channels * BYTES)
        fit = [count for count in counts if count * tile.points <= most_points] or [1]
        groups = divisors(self.vectors // tile.vectors)
        return min((self.cycles(tile, count, g, cpu), count, g) for count in fit for g in groups)

    def gpu_cycles(self, gpu: Gpu) -> float:
        """Estimate the cycles of a GPU, all its threads together."""
        points = self.elements * self.batch * self.height * self.width
        channels = self.channels / gpu.lanes()
        products = points * self.channels * self.vectors * gpu.vector_cycles
        return products + points * (channels + self.vectors) * GPU_TRANSFORM_CYCLES


def variant(conv: Conv, processor: Processor) -> tuple[Work, Tile]:
    """Return what to do with the m of the fewest cycles, the map covered by whole tiles of the product, and the tile.

    The product of a CPU has a register tile, that of a GPU a work-group's.
    """
    found = []
    for m in POINTS:
        vectors = ceil(conv.out_channels / processor.lanes())
        height, width = ceil(conv.out_height / m), ceil(conv.out_width / m)
        products = (m + 2) ** 2 if isinstance(processor, Gpu) else 1  # all at once, or one after the other
        tile = output_tile(height, width, vectors, conv.batch * products, processor)
        work = Work(m, conv.batch, conv.in_channels, vectors, *tile.covers(height, width))
        cycles = work.gpu_cycles(processor) if isinstance(processor, Gpu) else work.plan(tile, processor)[0]
        found.append((cycles, work, tile))
    _, work, tile = min(found, key=lambda each: each[0])
    return work, tile


def most(size: int, limit: int) -> int:
    """Return the largest divisor of `size` that is at most `limit`, or 1."""
    return max(divisor for divisor in divisors(size) if divisor <= max(limit, 1))
