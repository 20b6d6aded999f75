"""Sparse matrix product: im2col with points innermost, times weights in CSR; 1x1 convolutions copy nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse import row_sums, tasks, thread_sums
from dlas_ops.kernels.sparse.csr import Csr, compress
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.steps import BYTES, divisors
from dlas_ops.schedule.tunables import Choice, Space

te = tvm.te

DTYPES = ("float32",)
GPU_DTYPES = ("float32", "float16")

# Of points in registers: more would leave the L1 cache room for too few rows of the matrix.
MOST_VECTORS = 8


def supports(conv: Conv, target: Target) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None: a grouped convolution is a sparser matrix."""
    return None


def block(channels: int, processor: Processor) -> int:
    """Return the layout of the activations that this algorithm reads and writes: points innermost."""
    return points_innermost.POINTS


def pack(weight: np.ndarray, conv: Conv, processor: Processor) -> Csr:
    """Pack OIHW weights as CSR whose indices are rows of the im2col matrix: input channel, height, width."""
    depth = conv.in_channels * conv.kernel[0] * conv.kernel[1]
    places = np.arange(depth).reshape(conv.groups, conv.group_channels, *conv.kernel)
    return compress(weight, places, 0 if isinstance(processor, Gpu) else _block(conv, processor))


def _tile(conv: Conv, copied: bool, cpu: Cpu) -> row_sums.Tile:
    pitch = points_innermost.pitch(conv.out_height * conv.out_width, cpu)
    lanes = min(cpu.lanes(), pitch)
    vectors = max(size for size in divisors(pitch // lanes) if size <= MOST_VECTORS)
    filters = row_sums.filters_of(conv.out_channels, conv.batch * pitch // (vectors * lanes), vectors * lanes, cpu)
    return row_sums.Tile(filters, vectors, lanes, vectors * lanes, packed=int(copied))


def _block(conv: Conv, cpu: Cpu) -> int:
    """Return how many rows of the matrix are a block of columns of the weights."""
    return row_sums.columns_in_cache(_tile(conv, True, cpu).points * BYTES, cpu)


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
        matrix = points_innermost.gathered(data, conv, gpu)
    else:
        pitch = points_innermost.pitch(conv.out_height * conv.out_width, gpu)
        matrix = _im2col(conv, data, pitch, pitch)
    return thread_sums.product_of(conv, matrix, weight, gpu, "gemm")


def _compute(conv: Conv, data: Tensor, weight: Csr, cpu: Cpu) -> Tensor:
    copied = not conv.is_pointwise or len(data.shape) != 3
    tile, block = _tile(conv, copied, cpu), _block(conv, cpu)
    pitch = points_innermost.pitch(conv.out_height * conv.out_width, cpu)
    source = _im2col(conv, data, pitch, tile.points) if copied else data
    shape = (conv.batch, conv.out_channels, pitch)
    sums = row_sums.sums_of(source, weight, shape, tile, _load(block)(tile), "gemm", attributes={"dlas.block": block})
    return te.compute(shape, lambda *index: sums[index], name="output")


def _load(block: int) -> Callable[[row_sums.Tile], row_sums.Load]:
    """Return how a row of the matrix and an output point find their input."""

    def load(tile: row_sums.Tile) -> row_sums.Load:
        def vector(matrix: Buffer, n: Expr, b: Expr, index: Expr, t: Expr, v: int) -> Expr:
            row, point = b * block + index, v * tile.lanes
            if tile.packed:
                return matrix[n, t, row_sums.ramp(row * tile.points + point, tile.lanes)]
            return matrix[n, row, row_sums.ramp(t * tile.points + point, tile.lanes)]

        return vector

    return load


def _im2col(conv: Conv, data: Tensor, pitch: int, points: int) -> Tensor:
    """Return the im2col matrix by image and tile of `points` out of `pitch`, row by row."""
    height, width = conv.kernel
    source = points_innermost.bordered(data, conv, -(-pitch // conv.out_width))

    def element(n: Expr, t: Expr, place: Expr) -> Expr:
        k, point = place // points, t * points + place % points
        row = point // conv.out_width * conv.stride[0] + k // width % height * conv.dilation[0]
        column = point % conv.out_width * conv.stride[1] + k % width * conv.dilation[1]
        return source[n, k // (height * width), row, column]

    shape = (conv.batch, pitch // points, conv.in_channels * height * width * points)
    return te.compute(shape, element, name="im2col", attrs={tasks.STRETCH: [points, conv.out_width]})


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    return tasks.tunables(sch, block, cpu)


def tiled(sch: Schedule, block: SBlock, choice: Choice) -> SBlock:
    """Put loops, as `choice` has them, in the place of the definition; return the block that sums."""
    return tasks.tiled(sch, block, choice, _load(int(sch.get(block).annotations["dlas.block"])))


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Gather the matrix, then sum."""
    tile = tasks.tile_of(sch, block)
    block = tiled(sch, block, choice)
    task = tasks.schedule(sch, block, tile.lanes, cpu)
    for copy in sch.get_producers(block):
        tasks.schedule_copies(sch, copy, task, cpu)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`."""
    return thread_sums.tunables(sch, block, gpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Gather the matrix; then sum."""
    thread_sums.schedule(sch, block, gpu, choice)
