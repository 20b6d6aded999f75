"""Sparse matrix product: im2col with points innermost, times weights in CSR; 1x1 convolutions copy nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlas_ops.convolution import Conv
from dlas_ops.operators import points
from dlas_ops.schedules import BYTES, divisors
from dlas_ops.sparse import rows
from dlas_ops.sparse.csr import Csr, compress
from dlas_ops.targets import Cpu
from dlas_ops.tunables import Choice, Space
from dlas_ops.value import POINTS

DTYPES = ("float32",)


def supports(conv: Conv, target: Any) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None: a grouped convolution is a sparser matrix."""
    return None


def block(channels: int, cpu: Cpu) -> int:
    """Return the layout of the activations that this algorithm reads and writes: points innermost."""
    return POINTS


def pack(weight: np.ndarray, conv: Conv, cpu: Cpu) -> Csr:
    """Pack OIHW weights as CSR whose indices are rows of the im2col matrix: input channel, height, width."""
    depth = conv.in_channels * conv.kernel[0] * conv.kernel[1]
    places = np.arange(depth).reshape(conv.groups, conv.group_channels, *conv.kernel)
    return compress(weight, places, _block(conv, cpu))


def _tile(conv: Conv, cpu: Cpu) -> rows.Tile:
    pitch = points.pitch(conv.out_height * conv.out_width, cpu)
    lanes = min(cpu.lanes(), pitch)
    vectors = max(size for size in divisors(pitch // lanes) if size <= cpu.vector_registers // 2)
    filters = rows.filters_of(conv.out_channels, conv.batch * pitch // (vectors * lanes), cpu)
    return rows.Tile(filters, vectors, lanes, vectors * lanes)


def _block(conv: Conv, cpu: Cpu) -> int:
    """Return how many rows of the matrix are a block of columns of the weights."""
    return rows.columns_in_cache(_tile(conv, cpu).points * BYTES, cpu)


def compute(conv: Conv, data: Any, values: Any, indices: Any, pointers: Any, cpu: Cpu) -> Any:
    """Return the convolution of `data` (any layout) with weights in CSR, points innermost."""
    from dlas_ops._tvm import tvm

    pitch = points.pitch(conv.out_height * conv.out_width, cpu)
    source = data if conv.is_pointwise and len(data.shape) == 3 else _im2col(conv, data, pitch)
    tile = _tile(conv, cpu)
    shape = (conv.batch, conv.out_channels, pitch)
    load = _load(_block(conv, cpu))(tile)
    sums = rows.sums_of(
        source, Csr(values, indices, pointers), shape, tile, load, "gemm", {"dlas.block": _block(conv, cpu)}
    )
    return tvm.te.compute(shape, lambda *index: sums[index], name="output")


def _load(block: int) -> Callable[[rows.Tile], rows.Load]:
    def load(tile: rows.Tile) -> rows.Load:
        return lambda matrix, n, b, index, t, v, lane: matrix[
            n, b * block + index, t * tile.points + v * tile.lanes + lane
        ]

    return load


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    return rows.tunables(sch, block, cpu)


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice) -> None:
    """Gather the matrix, then sum."""
    load = _load(int(sch.get(block).annotations["dlas.block"]))
    block = rows.schedule(sch, block, cpu, choice, load)
    for producer in sch.get_producers(block):
        sch.parallel(sch.fuse(*sch.get_loops(producer)[:2]))


def _im2col(conv: Conv, data: Any, pitch: int) -> Any:
    from dlas_ops._tvm import tvm

    height, width = conv.kernel

    def element(n: Any, k: Any, p: Any) -> Any:
        h, w = p // conv.out_width, p % conv.out_width
        row = h * conv.stride[0] + k // width % height * conv.dilation[0] - conv.padding[0]
        column = w * conv.stride[1] + k % width * conv.dilation[1] - conv.padding[1]
        inside = tvm.tirx.all(
            row >= 0, row < conv.height, column >= 0, column < conv.width, p < conv.out_height * conv.out_width
        )
        held = points.read(data, conv.width, n, k // (height * width), row, column)
        return tvm.tirx.if_then_else(inside, held, tvm.tirx.const(0.0, data.dtype))

    return tvm.te.compute((conv.batch, conv.in_channels * height * width, pitch), element, name="im2col")
