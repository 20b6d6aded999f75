"""Spatial pack: direct convolution on NCHWc, activations and weights both in blocks of one vector of channels.

Source: Liu et al., "Optimizing CNN Model Inference on CPUs", USENIX ATC 2019.
"""

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
        return "spatial_pack blocks the channels of ungrouped convolutions only"
    return None


def block(channels: int, cpu: Cpu) -> int:
    """Return the channel block of the activations that this algorithm reads and writes."""
    return cpu.lanes()


def pack(weight: np.ndarray, conv: Conv, cpu: Cpu) -> np.ndarray:
    """Pack OIHW weights as (output block, input block, height, width, input channel, output channel).

    Channels are padded with zeros to whole blocks. A reduction that is no whole number of blocks stays one block.
    """
    inner = _input_block(conv, cpu.lanes())
    vectors = in_vectors(weight, cpu.lanes())
    split = vectors.reshape(*vectors.shape[:2], conv.in_channels // inner, inner, *conv.kernel)
    return np.ascontiguousarray(split.transpose(0, 2, 4, 5, 3, 1))


def compute(conv: Conv, data: Any, weight: Any, cpu: Cpu) -> Any:
    """Return the convolution of `data` (NCHWc, or NCHW at the network's input) with packed `weight`, as NCHWc."""
    from dlas_ops._tvm import tvm
    from dlas_ops.stages import annotation, padded

    te = tvm.te
    lanes = cpu.lanes()
    out_blocks, in_blocks, *_, inner, _ = (int(size) for size in weight.shape)
    tile = register_tile(conv.out_height, conv.out_width, out_blocks, conv.batch, cpu)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    # The network's input has few channels and needs no whole vector of them.
    data_block = int(data.shape[4]) if len(data.shape) == 5 else min(conv.in_channels, lanes)
    source = padded(data, conv, rows, columns, data_block)
    co = te.reduce_axis((0, in_blocks), "co")
    kh, kw = (te.reduce_axis((0, size), name) for size, name in zip(conv.kernel, ("kh", "kw"), strict=True))
    ci = te.reduce_axis((0, inner), "ci")

    def point(n: Any, o: Any, h: Any, w: Any, v: Any) -> Any:
        channel = co * inner + ci
        row = h * conv.stride[0] + kh * conv.dilation[0]
        column = w * conv.stride[1] + kw * conv.dilation[1]
        held = source[n, channel // data_block, row, column, channel % data_block]
        return te.sum(held * weight[o, co, kh, kw, ci, v], axis=[co, kh, kw, ci])

    sums = te.compute(
        (conv.batch, out_blocks, rows, columns, lanes),
        point,
        name="spatial_pack",
        attrs=annotation("spatial_pack", tile),
    )
    shape = (conv.batch, out_blocks, conv.out_height, conv.out_width, lanes)
    return te.compute(shape, lambda *index: sums[index], name="output")


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    n, o, h, w, v, *reduction = extents(sch, block)
    return tiled_space(tile_of(sch, block), (n, o, h, w, v), reduction, cpu)


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice) -> None:
    """Hold a tile of output points x channel vectors in registers; run over the tiles in parallel."""
    for producer in sch.get_producers(block):
        copy_stage(sch, producer, cpu)
    n, o, h, w, v, co, kh, kw, ci = sch.get_loops(block)
    register_tiled(sch, block, (n, o, h, w, v), (co, kh, kw, ci), cpu, choice)


def _input_block(conv: Conv, lanes: int) -> int:
    return lanes if conv.in_channels % lanes == 0 else conv.in_channels
