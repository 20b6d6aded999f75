"""Convolution as a matrix product: im2col gathers each output point's inputs, a blocked GEMM multiplies by weights.

Source: Chellapilla et al., "High Performance Convolutional Neural Networks for Document Processing", IWFHR 2006.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlas_ops.convolution import Conv
from dlas_ops.packing import in_vectors
from dlas_ops.schedules import copy_stage, extents, register_tiled, tile_of, tiled_space, vectorize_last
from dlas_ops.targets import Cpu
from dlas_ops.tiling import register_tile
from dlas_ops.tunables import Choice, Space

FORMATS = ("dense", "csr")
DTYPES = ("float32",)


def supports(conv: Conv, target: Any) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None."""
    if conv.groups > 1:
        return "gemm multiplies by one matrix; a grouped convolution has one per group"
    return None


def block(channels: int, cpu: Cpu) -> int:
    """Return the channel block of the activations that this algorithm reads and writes: all channels, hence NHWC."""
    return -(-channels // cpu.lanes()) * cpu.lanes()


def pack(weight: np.ndarray, conv: Conv, cpu: Cpu) -> np.ndarray:
    """Pack OIHW weights as panels (output block, height x width x input channel, output channel)."""
    panels = in_vectors(weight, cpu.lanes()).transpose(0, 3, 4, 2, 1)
    return np.ascontiguousarray(panels.reshape(len(panels), -1, cpu.lanes()))


def compute(conv: Conv, data: Any, weight: Any, cpu: Cpu) -> Any:
    """Return the convolution of `data` (NHWC, or NCHW at the network's input) with packed `weight`, as NHWC."""
    from dlas_ops._tvm import tvm
    from dlas_ops.stages import annotation

    te = tvm.te
    lanes = cpu.lanes()
    out_blocks, depth = int(weight.shape[0]), int(weight.shape[1])
    tile = register_tile(conv.out_height, conv.out_width, out_blocks, conv.batch, cpu)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    matrix = _im2col(conv, data, rows, columns)
    k = te.reduce_axis((0, depth), "k")
    channels = out_blocks * lanes
    sums = te.compute(
        (conv.batch, 1, rows, columns, channels),
        lambda n, b, h, w, c: te.sum(matrix(n, h, w, k) * weight[c // lanes, k, c % lanes], axis=k),
        name="gemm",
        attrs=annotation("gemm", tile),
    )
    shape = (conv.batch, 1, conv.out_height, conv.out_width, channels)
    return te.compute(shape, lambda *index: sums[index], name="output")


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    n, b, h, w, c, k = extents(sch, block)
    return tiled_space(tile_of(sch, block), (n * b, c // cpu.lanes(), h, w, cpu.lanes()), (k,), cpu)


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice) -> None:
    """Hold a tile of matrix rows x channel vectors in registers; run over the tiles in parallel."""
    gathered = sch.get_producers(block)
    n, b, h, w, c, k = sch.get_loops(block)
    o, v = sch.split(c, [None, cpu.lanes()])
    points, channels = register_tiled(sch, block, (sch.fuse(n, b), o, h, w, v), (k,), cpu, choice)
    for producer in gathered:
        if channels is None:
            copy_stage(sch, producer, cpu)
        else:
            # The rows of the matrix that one tile needs stay in the L1 cache while all panels of weights pass by.
            sch.compute_at(producer, points)
            vectorize_last(sch, producer, cpu)


def _im2col(conv: Conv, data: Any, rows: int, columns: int) -> Any:
    """Return a reader of the im2col matrix: row (image, height, width), column (kernel row, kernel column, channel)."""
    from dlas_ops._tvm import tvm
    from dlas_ops.stages import read_channel

    if conv.is_pointwise and len(data.shape) == 5 and (rows, columns) == (conv.height, conv.width):
        return lambda n, h, w, k: data[n, 0, h, w, k]

    def element(n: Any, h: Any, w: Any, kh: Any, kw: Any, ci: Any) -> Any:
        row = h * conv.stride[0] + kh * conv.dilation[0] - conv.padding[0]
        column = w * conv.stride[1] + kw * conv.dilation[1] - conv.padding[1]
        inside = tvm.tirx.all(row >= 0, row < conv.height, column >= 0, column < conv.width)
        held = read_channel(data, n, ci, row, column)
        return tvm.tirx.if_then_else(inside, held, tvm.tirx.const(0.0, data.dtype))

    height, width = conv.kernel
    depth = conv.in_channels
    matrix = tvm.te.compute((conv.batch, rows, columns, height, width, depth), element, name="im2col")
    return lambda n, h, w, k: matrix[n, h, w, k // (width * depth), k // depth % width, k % depth]
