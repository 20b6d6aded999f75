"""Direct sparse convolution: a non-zero times whole vectors of the input where they lie; its sums move, not the input.

All non-zeros of a filter at one kernel position move the input by the same distance. So they are a row of their own of
the sparse matrix, are summed as if it were none, and only the row's sums are moved, in registers. No access crosses a
cache line, and nothing is computed for points between rows. On a GPU each thread sums points of its own, and reads the
input with its border where it lies.

Source: the convolution as products of the input's channels, shifted and added (kn2row), of Vasudevan et al., "Parallel
Multi Channel Convolution using General Matrix Multiplication", ASAP 2017; the sparse weights of Park et al., "Faster
CNNs with Direct Sparse Convolutions and Guided Pruning", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, prod

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.shared.blocks import Annotations
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse import row_sums, tasks, thread_sums
from dlas_ops.kernels.sparse.csr import Csr, compress
from dlas_ops.kernels.sparse.phase_planes import SPLIT, Planes, planes_of, split
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.steps import BYTES, divisors
from dlas_ops.schedule.tunables import Choice, Space

te = tvm.te

DTYPES = ("float32",)
GPU_DTYPES = ("float32", "float16")

# Places that the narrowest indices can tell apart, a single byte aside.
INDICES = 2**16

# Part of the L1 cache that sums may take until their epilogue.
SUMS_OF_L1 = 0.125


def supports(conv: Conv, target: Target) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None: a grouped convolution is a sparser matrix."""
    return None


def block(channels: int, processor: Processor) -> int:
    """Return the layout of the activations that this algorithm reads and writes: points innermost."""
    return points_innermost.POINTS


def pack(weight: np.ndarray, conv: Conv, processor: Processor) -> Csr:
    """Pack OIHW weights as CSR with a row per filter and shift, whose indices say where in a tile's input to begin.

    On a GPU there is a row per filter, whose indices say where in the input with its border.
    """
    if isinstance(processor, Gpu):
        return _pack_gpu(weight, conv, processor)
    planes = planes_of(conv, processor)
    channels = np.arange(conv.in_channels)[:, None, None] * planes.rows_of_channel
    places = (channels + planes.row_of_tap) * (planes.row // _unit(conv, planes))
    places = places.reshape(conv.groups, conv.group_channels, *conv.kernel)
    return compress(weight, places, rows=np.array(planes.shift_of_tap))


def _pack_gpu(weight: np.ndarray, conv: Conv, gpu: Gpu) -> Csr:
    height, width = (1, 1) if conv.is_pointwise else points_innermost.bordered_shape(conv, _rows(conv, gpu))
    channel, kh, kw = np.ogrid[: conv.in_channels, : conv.kernel[0], : conv.kernel[1]]
    places = (channel * height + kh * conv.dilation[0]) * width + kw * conv.dilation[1]
    return compress(weight, places.reshape(conv.groups, conv.group_channels, *conv.kernel))


def _rows(conv: Conv, gpu: Gpu) -> int:
    """Return how many rows of outputs all points laid out reach into."""
    return -(-points_innermost.pitch(conv.out_height * conv.out_width, gpu) // conv.out_width)


def compute(
    conv: Conv, data: Tensor, values: Tensor, indices: Tensor, pointers: Tensor, processor: Processor
) -> Tensor:
    """Return the convolution of `data` (any layout) with weights in CSR, points innermost."""
    weight = Csr(values, indices, pointers)
    if isinstance(processor, Gpu):
        return _compute_gpu(conv, data, weight, processor)
    return _compute(conv, data, weight, processor)


def _compute_gpu(conv: Conv, data: Tensor, weight: Csr, gpu: Gpu) -> Tensor:
    if conv.is_pointwise:
        return thread_sums.product_of(conv, points_innermost.gathered(data, conv, gpu), weight, gpu, "direct")
    source = points_innermost.bordered(data, conv, _rows(conv, gpu))
    width = int(source.shape[3])

    def load(held: Buffer, n: Expr, index: Expr, point: Expr, lanes: int) -> Expr:
        row, column = point // conv.out_width * conv.stride[0], point % conv.out_width * conv.stride[1]
        # The index counts from the first channel on.
        place = [n, 0, 0, row * width + column + index]
        return held[*place] if lanes == 1 else thread_sums.unaligned(held, place, lanes)

    # Threads next to each other read neighbours, from anywhere on; vectors that begin anywhere are for a thread alone.
    lanes = gcd(conv.out_width, gpu.lanes()) if gpu.warp == conv.stride[1] == 1 else 1
    return thread_sums.sums_of(conv, source, weight, thread_sums.points_of(conv, gpu, lanes), load, "direct")


def _compute(conv: Conv, data: Tensor, weight: Csr, cpu: Cpu) -> Tensor:
    planes = planes_of(conv, cpu)
    if len(data.shape) == 5 or planes.in_place:
        data = points_innermost.gathered(data, conv, cpu)
    if not planes.in_place:
        data = split(conv, data, planes)
    filters = _filters(conv, planes.points, cpu)
    tile = row_sums.Tile(filters, planes.vectors, planes.lanes, planes.points, int(not planes.in_place))
    shape = (conv.batch, conv.out_channels, planes.tiles * planes.points)
    unit = _unit(conv, planes)
    attributes: Annotations = {"dlas.unit": unit, "dlas.shifts": [lane for shift in planes.shifts for lane in shift]}
    load = _load(unit)(tile)
    sums = row_sums.sums_of(data, weight, shape, tile, load, "direct", planes.shifts, attributes)
    whole = points_innermost.pitch(conv.out_height * conv.out_width, cpu)
    return te.compute((*shape[:2], whole), lambda *index: sums[index], name="output")


def _filters(conv: Conv, points: int, cpu: Cpu) -> int:
    """Return how many filters' sums of a tile stay in the cache, in as many groups as share out evenly."""
    fitting = [size for size in divisors(conv.out_channels) if size * points * BYTES <= cpu.l1_bytes * SUMS_OF_L1]
    even = [size for size in fitting if conv.out_channels // size % cpu.cores == 0]
    return max(even or fitting, default=1)


def _unit(conv: Conv, planes: Planes) -> int:
    """Return what the indices count: elements, which need no multiplication, or rows, if elements are too many."""
    return 1 if conv.in_channels * planes.rows_of_channel * planes.row <= INDICES else planes.row


def _load(unit: int) -> Callable[[row_sums.Tile], row_sums.Load]:
    """Return how a non-zero's index, which counts `unit` elements, and a vector of sums find their input."""

    def load(tile: row_sums.Tile) -> row_sums.Load:
        def vector(source: Buffer, n: Expr, b: Expr, index: Expr, t: Expr, v: int) -> Expr:
            if tile.packed:
                return source[n, t, row_sums.ramp(index * unit + v * tile.lanes, tile.lanes)]
            # An index of elements counts from the first channel on.
            channel, first = (index, 0) if unit > 1 else (0, index)
            return source[n, channel, row_sums.ramp(first + t * tile.points + v * tile.lanes, tile.lanes)]

        return vector

    return load


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    return tasks.tunables(sch, block, cpu)


def tiled(sch: Schedule, block: SBlock, choice: Choice) -> SBlock:
    """Put loops, as `choice` has them, in the place of the definitions; return the block that sums."""
    unit = int(sch.get(block).annotations["dlas.unit"])
    for wrapper in _split(sch):
        tasks.unwrap(sch, wrapper)
    return tasks.tiled(sch, block, choice, _load(unit))


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Split the input into planes, if it is not read where it is; then sum."""
    lanes, split = tasks.tile_of(sch, block).lanes, bool(_split(sch))
    block = tiled(sch, block, choice)
    task = tasks.schedule(sch, block, lanes, cpu)
    for source in sch.get_producers(block):
        for gathered in sch.get_producers(source):
            _parallel(sch, gathered, cpu)
        if split and task is not None and not _one_row(sch, source):
            sch.compute_at(source, task, preserve_unit_loops=True)
        else:
            _parallel(sch, source, cpu)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`."""
    return thread_sums.tunables(sch, block, gpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Add the border, if any; then sum."""
    thread_sums.schedule(sch, block, gpu, choice)


def _split(sch: Schedule) -> list[SBlock]:
    """Return the block around the loops that split the input, if it is not read where it is."""
    return [child for child in sch.get_child_blocks(sch.get_sblock("root")) if SPLIT in sch.get(child).annotations]


def _one_row(sch: Schedule, copy: SBlock) -> bool:
    """Tell whether `copy` fills planes of one row.

    They are filled before all sums then, and not within the task that reads them.
    """
    # Workaround: TVM 0.27: lowering fails on a block with axes of 64 bits in loops of 32, which a loop of one step
    # leaves alone in a condition; tests/workarounds
    body = sch.get(copy).body
    first = body.seq[0] if isinstance(body, tvm.tirx.SeqStmt) else body
    return int(first.extent) == 1


def _parallel(sch: Schedule, copy: SBlock, cpu: Cpu) -> None:
    """Run the loops over images, tiles and channels of `copy` in parallel, if it writes enough."""
    written = sch.get(copy).writes[0].source
    n, t, *c = sch.get_loops(copy)
    loop = sch.fuse(n, t, *c[: len(written.shape) - 2])
    if prod(int(size) for size in written.shape) >= cpu.least_parallel:
        sch.parallel(loop)
