"""Direct convolution on NHWC: the loops of the definition, tiled for registers; nothing is copied but the border."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlas_ops.convolution import Conv
from dlas_ops.packing import in_vectors
from dlas_ops.schedules import copy_stage, extents, register_tiled, tile_of, tiled_space
from dlas_ops.targets import Cpu
from dlas_ops.tiling import register_tile
from dlas_ops.tunables import Choice, Space

FORMATS = ("dense", "csr")
DTYPES = ("float32",)


def supports(conv: Conv, target: Any) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None."""
    if conv.groups > 1:
        return "direct vectorises over the output channels of ungrouped convolutions only"
    return None


def block(channels: int, cpu: Cpu) -> int:
    """Return the channel block of the activations that this algorithm reads and writes: all channels, hence NHWC."""
    return -(-channels // cpu.lanes()) * cpu.lanes()


def pack(weight: np.ndarray, conv: Conv, cpu: Cpu) -> np.ndarray:
    """Pack OIHW weights as (output block, height, width, input channel, output channel), padded to whole blocks."""
    return np.ascontiguousarray(in_vectors(weight, cpu.lanes()).transpose(0, 3, 4, 2, 1))


def compute(conv: Conv, data: Any, weight: Any, cpu: Cpu) -> Any:
    """Return the convolution of `data` (NHWC, or NCHW at the network's input) with packed `weight`, as NHWC."""
    from dlas_ops._tvm import tvm
    from dlas_ops.stages import annotation, padded

    te = tvm.te
    lanes = cpu.lanes()
    out_blocks = int(weight.shape[0])
    tile = register_tile(conv.out_height, conv.out_width, out_blocks, conv.batch, cpu)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    source = padded(data, conv, rows, columns, int(data.shape[4]) if len(data.shape) == 5 else conv.in_channels)
    kh, kw = (te.reduce_axis((0, size), name) for size, name in zip(conv.kernel, ("kh", "kw"), strict=True))
    ci = te.reduce_axis((0, conv.in_channels), "ci")

    def point(n: Any, b: Any, h: Any, w: Any, c: Any) -> Any:
        row = h * conv.stride[0] + kh * conv.dilation[0]
        column = w * conv.stride[1] + kw * conv.dilation[1]
        held = source[n, b, row, column, ci]
        return te.sum(held * weight[c // lanes, kh, kw, ci, c % lanes], axis=[kh, kw, ci])

    channels = out_blocks * lanes
    sums = te.compute((conv.batch, 1, rows, columns, channels), point, name="direct", attrs=annotation("direct", tile))
    shape = (conv.batch, 1, conv.out_height, conv.out_width, channels)
    return te.compute(shape, lambda *index: sums[index], name="output")


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    n, b, h, w, c, *reduction = extents(sch, block)
    return tiled_space(tile_of(sch, block), (n * b, c // cpu.lanes(), h, w, cpu.lanes()), reduction, cpu)


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice) -> None:
    """Hold a tile of output points x channel vectors in registers; run over the tiles in parallel."""
    for producer in sch.get_producers(block):
        copy_stage(sch, producer, cpu)
    n, b, h, w, c, kh, kw, ci = sch.get_loops(block)
    o, v = sch.split(c, [None, cpu.lanes()])
    register_tiled(sch, block, (sch.fuse(n, b), o, h, w, v), (kh, kw, ci), cpu, choice)
