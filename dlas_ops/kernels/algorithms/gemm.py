"""Convolution as a matrix product: im2col gathers each output point's inputs, a blocked GEMM multiplies by weights.

Source: Chellapilla et al., "High Performance Convolutional Neural Networks for Document Processing", IWFHR 2006.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from dlas_ops._types import Expr, SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.packing import in_panels
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import Dot, dot_of
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.group_tiling import output_tile
from dlas_ops.schedule.matrix_tiling import MatrixTile, Reduction
from dlas_ops.schedule.register_tiles import register_tiled, sources, sum_values, tiled_space
from dlas_ops.schedule.steps import copy_stage, extents, vectorize_last
from dlas_ops.schedule.thread_tiles import thread_space, thread_tiled
from dlas_ops.schedule.tunables import Choice, Space

# Takes image, row, column, what a group of matrix columns stands for, and the index in the group: one element.
Reader = Callable[[Expr, Expr, Expr, Sequence[Expr], Sequence[Expr]], Expr]

FORMATS = ("dense", "csr")
GPU_FORMATS = ("dense", "csr")
DTYPES = ("float32", "float16", "bfloat16", "int8")

# Multiplies float16 in float16 where the processor can.
HALF = True

# On the block that gathers a matrix whose columns are counted through: rows and columns of the kernel, and channels.
COLUMNS = "dlas.columns"


def supports(conv: Conv, target: Target) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None."""
    if conv.groups > 1:
        return "gemm multiplies by one matrix; a grouped convolution has one per group"
    return None


def block(channels: int, processor: Processor) -> int:
    """Return the channel block of the activations that this algorithm reads and writes: all channels, hence NHWC."""
    return -(-channels // processor.lanes()) * processor.lanes()


def pack(weight: np.ndarray, conv: Conv, processor: Processor) -> np.ndarray:
    """Pack OIHW weights as panels (output block, height x width x input channel, output channel).

    Channels that one instruction sums lie together, after the output channel; see `packing.in_panels`.
    """
    panels = in_panels(weight, processor.lanes(), dot_of(str(weight.dtype), processor, HALF))
    return panels.reshape(len(panels), -1, *panels.shape[4:])


def compute(conv: Conv, data: Tensor, weight: Tensor, processor: Processor, border: int = 0) -> Tensor:
    """Return the convolution of `data` (NHWC, or NCHW at the network's input) with packed `weight`, as NHWC."""
    from dlas_ops._tvm import tvm
    from dlas_ops.kernels.shared.sums import summed

    dot, lanes = dot_of(str(data.dtype), processor, HALF), processor.lanes()
    out_blocks, depth = int(weight.shape[0]), int(weight.shape[1])
    reduced = Reduction(dot, depth, 1, joined=True)
    tile = output_tile(conv.out_height, conv.out_width, out_blocks, conv.batch, processor, reduced)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    flat = isinstance(tile, MatrixTile)
    matrix = _im2col(conv, data, rows, columns, dot, border, flat)
    channels = out_blocks * lanes

    # A work-group reads a box of the matrix only if its columns are counted by what they stand for.
    if isinstance(processor, Gpu):
        reduction = {"kh": conv.kernel[0], "kw": conv.kernel[1], "ci": depth // prod(conv.kernel)}
    else:
        reduction = {"k": depth}

    def operands(index: Sequence[Expr], step: Sequence[Expr], value: Sequence[Expr]) -> tuple[Expr, Expr]:
        n, _, h, w, c = index
        groups, width = depth // prod(conv.kernel), conv.kernel[1]
        if len(step) == 1:
            [k] = step
            kh, kw, ci = k // (width * groups), k // groups % width, k % groups
        else:
            kh, kw, ci = step
            k = (kh * width + kw) * groups + ci
        return matrix(n, h, w, (kh, kw, ci), value), weight[c // lanes, k, c % lanes, *value]

    sums = summed((conv.batch, 1, rows, columns, channels), operands, reduction, dot, "gemm", tile)
    shape = (conv.batch, 1, conv.out_height, conv.out_width, channels)
    return tvm.te.compute(shape, lambda *index: sums[index], name="output")


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    n, b, h, w, c, k, *_ = extents(sch, block)
    return tiled_space(sch, block, (n * b, c // cpu.lanes(), h, w, cpu.lanes()), (k,), cpu)


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Hold a tile of matrix rows x channel vectors in registers; run over the tiles in parallel."""
    gathered = sources(sch, block)
    n, b, h, w, c, k, *value = sch.get_loops(block)
    o, v = sch.split(c, [None, cpu.lanes()])
    points, channels = register_tiled(sch, block, (sch.fuse(n, b), o, h, w, v), (k,), cpu, choice, value)
    for producer in gathered:
        if channels is None:
            _split_columns(sch, producer)
            copy_stage(sch, producer, cpu)
        else:
            # The rows of the matrix that one tile needs stay in the L1 cache while all panels of weights pass by.
            sch.compute_at(producer, points)
            _split_columns(sch, producer)
            vectorize_last(sch, producer, cpu)
    sum_values(sch, block, v, value, cpu)


def _split_columns(sch: Schedule, gathered: SBlock) -> None:
    """Make of the loop over the columns of a flat matrix those over what they stand for."""
    if COLUMNS in sch.get(gathered).annotations:
        sch.split(sch.get_loops(gathered)[-1], [int(size) for size in sch.get(gathered).annotations[COLUMNS]])


def _im2col(conv: Conv, data: Tensor, rows: int, columns: int, dot: Dot, border: int, flat: bool = False) -> Reader:
    """Return a reader of the im2col matrix: row (image, height, width), column (kernel row, kernel column, channel).

    It takes a column as row and column of the kernel and the group of channels that are summed at once and, if there
    are several, which of them. One that is `flat` counts its columns through, so that an instruction may take several
    that stand for different points.
    """
    from dlas_ops._tvm import tvm
    from dlas_ops.kernels.shared.blocks import copied, read_channel

    as_it_is = conv.is_pointwise and len(data.shape) == 5 and data.dtype == dot.data
    if as_it_is and (rows, columns) == (conv.height, conv.width):
        return lambda n, h, w, column, value: data[n, 0, h, w, sum(value, column[2] * dot.values)]

    def element(n: Expr, h: Expr, w: Expr, kh: Expr, kw: Expr, ci: Expr) -> Expr:
        row = h * conv.stride[0] + kh * conv.dilation[0] - conv.padding[0]
        column = w * conv.stride[1] + kw * conv.dilation[1] - conv.padding[1]
        inside = [row >= 0, row < conv.height, column >= 0, column < conv.width]
        if depth > channels:
            inside.append(ci < channels)
        return copied(inside, read_channel(data, n, ci, row, column), dot.data, border)

    height, width = conv.kernel
    channels = conv.in_channels if len(data.shape) == 4 else int(data.shape[4])
    groups = -(-conv.in_channels // dot.values)
    depth = groups * dot.values

    def counted(n: Expr, h: Expr, w: Expr, k: Expr) -> Expr:
        return element(n, h, w, k // (width * depth), k // depth % width, k % depth)

    if flat:
        shape, attributes = (conv.batch, rows, columns, height * width * depth), {COLUMNS: [height, width, depth]}
        flattened = tvm.te.compute(shape, counted, name="im2col", attrs=attributes)
    else:
        matrix = tvm.te.compute((conv.batch, rows, columns, height, width, depth), element, name="im2col")

    def read(n: Expr, h: Expr, w: Expr, column: Sequence[Expr], value: Sequence[Expr]) -> Expr:
        kh, kw, group = column
        if flat:
            return flattened[n, h, w, sum(value, ((kh * width + kw) * groups + group) * dot.values)]
        return matrix[n, h, w, kh, kw, sum(value, group * dot.values)]

    return read


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`."""
    n, b, h, w, c, *_ = extents(sch, block)
    return thread_space(sch, block, (n * b, c // gpu.lanes(), h, w, gpu.lanes()), gpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Hold a tile of matrix rows x channel vectors in the registers of each thread.

    Where threads share memory, each work-group gathers there what it needs of the matrix, which nothing else holds.
    """
    n, b, h, w, c, kh, kw, ci, *value = sch.get_loops(block)
    o, v = sch.split(c, [None, gpu.lanes()])
    spatial = sch.fuse(n, b), o, h, w, v
    thread_tiled(sch, block, spatial, (kh, kw, ci), gpu, choice, value, channels_first=True)
