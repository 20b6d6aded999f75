"""Direct sparse convolution: a non-zero times a shifted stretch of the padded input, at an offset known beforehand.

Source: Park et al., "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.convolution import Conv
from dlas_ops.operators import points
from dlas_ops.schedules import BYTES, divisors, parallel
from dlas_ops.sparse import rows, tasks
from dlas_ops.sparse.csr import Csr, compress
from dlas_ops.targets import Cpu
from dlas_ops.tunables import Choice, Space
from dlas_ops.value import POINTS

te, tirx = tvm.te, tvm.tirx

DTYPES = ("float32",)

# Of points in registers: with their inputs read from memory, as many as AVX2 has room for.
MOST_VECTORS = 14


def supports(conv: Conv, target: Any) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None: a grouped convolution is a sparser matrix."""
    return None


def block(channels: int, cpu: Cpu) -> int:
    """Return the layout of the activations that this algorithm reads and writes: points innermost."""
    return POINTS


@dataclass(frozen=True)
class Stretch:
    """How the padded input lies in memory, and which of its points a register tile covers.

    The input is split into the phases of the stride, so that the inputs of neighbouring outputs are neighbours. Rows
    of whole vectors are covered one after the other. Rows of other lengths are covered by bands of them, in vectors
    that run on over the border between rows; what they sum there is left out.

    Attributes
    ----------
    pitch, height : of one phase of one channel
    channels : whose share in a tile fills no more than a part of the L1 cache
    """

    tile: rows.Tile
    tiles: int
    phases: int
    pitch: int
    height: int
    channels: int

    @property
    def channel(self) -> int:
        """Elements of one channel."""
        return self.phases * self.height * self.pitch


def stretch(conv: Conv, cpu: Cpu) -> Stretch:
    """Return how `conv` runs over its input."""
    lanes, width = cpu.lanes(), conv.out_width
    beyond = [(size - 1) // step for size, step in zip(conv.extent, conv.stride, strict=True)]
    pitch = width + beyond[1]
    whole = points.pitch(conv.out_height * width, cpu)
    if width % lanes == 0:
        vectors = _vectors(whole // lanes, width // lanes)
        covered, tiles, band = vectors * lanes, whole // (vectors * lanes), 0
        height, touched = -(-whole // width) + beyond[0], -(-covered // width)
    else:
        most = max(1, MOST_VECTORS * lanes // pitch)
        if most >= conv.out_height:
            band, covered, tiles = conv.out_height, whole, 1
        else:
            band = max((size for size in range(1, most + 1) if size * width % lanes == 0), default=1)
            covered = band * width
            tiles = -(-whole // covered)
        vectors = -(-((band - 1) * pitch + width) // lanes)
        last = (tiles - 1) * band * pitch + vectors * lanes
        height, touched = -(-last // pitch) + beyond[0] + 1, band
    filters = rows.filters_of(conv.out_channels, conv.batch * tiles, vectors * lanes, cpu)
    tile = rows.Tile(filters, vectors, lanes, covered, band, width if band else 0, pitch if band else 0)
    phases = conv.stride[0] * conv.stride[1]
    channels = rows.columns_in_cache(phases * (touched + beyond[0]) * pitch * BYTES, cpu)
    return Stretch(tile, tiles, phases, pitch, height, channels)


def _vectors(count: int, row: int) -> int:
    """Return how many vectors of `count` a tile takes: whole rows of `row` or a part of one."""
    fitting = [size for size in divisors(count) if size <= MOST_VECTORS and (size % row == 0 or row % size == 0)]
    return max(fitting)


def pack(weight: np.ndarray, conv: Conv, cpu: Cpu) -> Csr:
    """Pack OIHW weights as CSR whose indices are offsets into the input as `stretch` lays it out."""
    layout = stretch(conv, cpu)
    channel, kh, kw = np.ogrid[: conv.in_channels, : conv.kernel[0], : conv.kernel[1]]
    row, column = kh * conv.dilation[0], kw * conv.dilation[1]
    phase = row % conv.stride[0] * conv.stride[1] + column % conv.stride[1]
    plane = channel * layout.phases + phase
    offset = (plane * layout.height + row // conv.stride[0]) * layout.pitch + column // conv.stride[1]
    places = offset.reshape(conv.groups, conv.group_channels, *conv.kernel)
    return compress(weight, places, layout.channels * layout.channel)


def compute(conv: Conv, data: Any, values: Any, indices: Any, pointers: Any, cpu: Cpu) -> Any:
    """Return the convolution of `data` (any layout) with weights in CSR, points innermost."""
    layout = stretch(conv, cpu)
    whole = points.pitch(conv.out_height * conv.out_width, cpu)
    source = _stretched(conv, data, layout)
    shape = (conv.batch, conv.out_channels, layout.tiles * layout.tile.points)
    block = layout.channels * layout.channel
    attributes = {"dlas.row": [conv.out_width, layout.pitch, block]}
    load = _load(conv.out_width, layout.pitch, block)(layout.tile)
    sums = rows.sums_of(source, Csr(values, indices, pointers), shape, layout.tile, load, "direct", attributes)
    return te.compute((*shape[:2], whole), lambda *index: sums[index], name="output")


def _load(width: int, pitch: int, block: int) -> Callable[[rows.Tile], rows.Load]:
    """Return how a non-zero's offset and an output point find their input."""

    def load(tile: rows.Tile) -> rows.Load:
        def element(source: Any, n: Any, b: Any, index: Any, t: Any, v: Any, lane: Any) -> Any:
            if tile.pitch:
                place = t * (tile.rows * pitch) + v * tile.lanes
            else:
                vector, per_row = t * tile.vectors + v, width // tile.lanes
                place = vector // per_row * pitch + vector % per_row * tile.lanes
            return source[n, b * block + index + place + lane]

        return element

    return load


def _stretched(conv: Conv, data: Any, layout: Stretch) -> Any:
    """Return the padded input, by image, as channels of phases of rows."""
    sh, sw = conv.stride
    top, left = conv.padding[:2]
    plane = layout.height * layout.pitch

    def element(n: Any, place: Any) -> Any:
        number, inside = place // plane, place % plane
        phase = number % layout.phases
        row = inside // layout.pitch * sh + phase // sw - top
        column = inside % layout.pitch * sw + phase % sw - left
        held = points.read(data, conv.width, n, number // layout.phases, row, column)
        valid = tirx.all(row >= 0, row < conv.height, column >= 0, column < conv.width)
        return tirx.if_then_else(valid, held, tirx.const(0.0, data.dtype))

    return te.compute((conv.batch, conv.in_channels * layout.channel), element, name="stretched")


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    space = tasks.tunables(sch, block, cpu)
    if tasks.tile_of(sch, block).pitch:
        return space
    row = _row(sch, block)[0] // cpu.lanes()
    return {**space, "vectors": [size for size in space["vectors"] if size % row == 0 or row % size == 0]}


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice) -> None:
    """Copy the input with its border, rows in parallel; then sum."""
    width, pitch, columns = _row(sch, block)
    block, _ = tasks.schedule(sch, block, cpu, choice, _load(width, pitch, columns))
    [copy] = sch.get_producers(block)
    n, place = sch.get_loops(copy)
    outer, _ = sch.split(place, [None, pitch])
    parallel(sch, sch.fuse(n, outer), cpu)


def _row(sch: Any, block: Any) -> tuple[int, int, int]:
    width, pitch, columns = sch.get(block).annotations["dlas.row"]
    return int(width), int(pitch), int(columns)
