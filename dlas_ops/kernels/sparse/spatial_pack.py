"""Spatial pack for sparse weights: the input repacked by tiles of points, once per kernel column, in whole vectors.

A non-zero then multiplies whole vectors that begin where the tile does, a kernel row further on: no point is computed
in vain and, on rows of whole vectors, every access is aligned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse import row_sums, tasks
from dlas_ops.kernels.sparse.csr import Csr, compress
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.steps import BYTES, divisors
from dlas_ops.schedule.tunables import Choice, Space

te, tirx = tvm.te, tvm.tirx

DTYPES = ("float32",)

# Of points in registers: more would leave the L1 cache room for too few channels.
MOST_VECTORS = 8


def supports(conv: Conv, target: Target) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None: a grouped convolution is a sparser matrix."""
    return None


def block(channels: int, cpu: Cpu) -> int:
    """Return the layout of the activations that this algorithm reads and writes: points innermost."""
    return points_innermost.POINTS


@dataclass(frozen=True)
class Packed:
    """The input of a tile: by channel, kernel column and phase of the vertical stride, `stretch` points.

    `columns` is how many elements are a block: channels that fill no more than the L1 cache.
    """

    tile: row_sums.Tile
    tiles: int
    stretch: int
    channel: int
    columns: int


def packed(conv: Conv, cpu: Cpu) -> Packed:
    """Return how the input of `conv` is packed."""
    pitch = points_innermost.pitch(conv.out_height * conv.out_width, cpu)
    lanes = min(cpu.lanes(), pitch)
    vectors = max(size for size in divisors(pitch // lanes) if size <= MOST_VECTORS)
    tiles = pitch // (vectors * lanes)
    filters = row_sums.filters_of(conv.out_channels, conv.batch * tiles, vectors * lanes, cpu)
    tile = row_sums.Tile(filters, vectors, lanes, vectors * lanes, packed=1)
    stretch = tile.points + (conv.extent[0] - 1) // conv.stride[0] * conv.out_width
    channel = conv.kernel[1] * conv.stride[0] * stretch
    return Packed(tile, tiles, stretch, channel, row_sums.columns_in_cache(channel * BYTES, cpu) * channel)


def pack(weight: np.ndarray, conv: Conv, cpu: Cpu) -> Csr:
    """Pack OIHW weights as CSR whose indices are offsets into a tile of the packed input."""
    layout = packed(conv, cpu)
    channel, kh, kw = np.ogrid[: conv.in_channels, : conv.kernel[0], : conv.kernel[1]]
    row = kh * conv.dilation[0]
    plane = (channel * conv.kernel[1] + kw) * conv.stride[0] + row % conv.stride[0]
    offset = plane * layout.stretch + row // conv.stride[0] * conv.out_width
    return compress(weight, offset.reshape(conv.groups, conv.group_channels, *conv.kernel), layout.columns)


def compute(conv: Conv, data: Tensor, values: Tensor, indices: Tensor, pointers: Tensor, cpu: Cpu) -> Tensor:
    """Return the convolution of `data` (any layout) with weights in CSR, points innermost."""
    layout = packed(conv, cpu)
    source = _packed(conv, data, layout)
    shape = (conv.batch, conv.out_channels, layout.tiles * layout.tile.points)
    load = _load(layout.columns)(layout.tile)
    attributes = {"dlas.columns": layout.columns}
    weight = Csr(values, indices, pointers)
    sums = row_sums.sums_of(source, weight, shape, layout.tile, load, "spatial_pack", attributes=attributes)
    return te.compute(shape, lambda *index: sums[index], name="output")


def _load(columns: int) -> Callable[[row_sums.Tile], row_sums.Load]:
    """Return how a non-zero's offset and an output point find their input."""
    return lambda tile: (
        lambda source, n, b, index, t, v: source[n, t, row_sums.ramp(b * columns + index + v * tile.lanes, tile.lanes)]
    )


def _packed(conv: Conv, data: Tensor, layout: Packed) -> Tensor:
    """Return the input by image and tile of points, one stretch after the other."""
    (sh, sw), width = conv.stride, conv.out_width
    last = (layout.tiles - 1) * layout.tile.points + layout.stretch
    source = points_innermost.bordered(data, conv, -(-last // width))

    def element(n: Expr, t: Expr, place: Expr) -> Expr:
        plane, inside = place // layout.stretch, place % layout.stretch
        point = t * layout.tile.points + inside
        row = point // width * sh + plane % sh
        column = point % width * sw + plane // sh % conv.kernel[1] * conv.dilation[1]
        return source[n, place // layout.channel, row, column]

    shape = (conv.batch, layout.tiles, conv.in_channels * layout.channel)
    return te.compute(shape, element, name="packed", attrs={tasks.STRETCH: [layout.stretch, width]})


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`; the tile of points is the one that the input is packed for."""
    return tasks.tunables(sch, block, cpu)


def tiled(sch: Schedule, block: SBlock, choice: Choice) -> SBlock:
    """Put loops, as `choice` has them, in the place of the definition; return the block that sums."""
    return tasks.tiled(sch, block, choice, _load(int(sch.get(block).annotations["dlas.columns"])))


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Pack the input, stretches in parallel; then sum."""
    lanes = tasks.tile_of(sch, block).lanes
    block = tiled(sch, block, choice)
    task = tasks.schedule(sch, block, lanes, cpu)
    [copy] = sch.get_producers(block)
    tasks.schedule_copies(sch, copy, task, cpu)
