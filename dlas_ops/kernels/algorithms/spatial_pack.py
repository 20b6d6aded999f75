"""Spatial pack: direct convolution on NCHWc, activations and weights both in blocks of one vector of channels.

Source: Liu et al., "Optimizing CNN Model Inference on CPUs", USENIX ATC 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import numpy as np

from dlas_ops._types import Expr, SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.packing import in_panels
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.group_tiling import output_tile
from dlas_ops.schedule.matrix_tiling import Reduction
from dlas_ops.schedule.register_tiles import register_tiled, sources, sum_values, tiled_space
from dlas_ops.schedule.steps import copy_stage, extents
from dlas_ops.schedule.thread_tiles import thread_space, thread_tiled
from dlas_ops.schedule.tunables import Choice, Space

FORMATS = ("dense", "csr")
GPU_FORMATS = ("dense",)
DTYPES = ("float32", "float16", "bfloat16", "int8")

# Multiplies float16 in float16 where the processor can.
HALF = True


def supports(conv: Conv, target: Target) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None."""
    if conv.groups > 1:
        return "spatial_pack blocks the channels of ungrouped convolutions only"
    return None


def block(channels: int, processor: Processor) -> int:
    """Return the channel block of the activations that this algorithm reads and writes."""
    return processor.lanes()


def pack(weight: np.ndarray, conv: Conv, processor: Processor) -> np.ndarray:
    """Pack OIHW weights as (output block, input block, height, width, input channel, output channel).

    Channels are padded with zeros to whole blocks. A reduction that is no whole number of blocks stays one block.
    Channels that one instruction sums lie together, after the output channel; see `packing.in_panels`.
    """
    panels = in_panels(weight, processor.lanes(), dot_of(str(weight.dtype), processor, HALF))
    in_blocks = conv.in_channels // processor.lanes() if conv.in_channels % processor.lanes() == 0 else 1
    split = panels.reshape(*panels.shape[:3], in_blocks, -1, *panels.shape[4:])
    return np.ascontiguousarray(np.moveaxis(split, 3, 1))


def compute(conv: Conv, data: Tensor, weight: Tensor, processor: Processor, border: int = 0) -> Tensor:
    """Return the convolution of `data` (NCHWc, or NCHW at the network's input) with packed `weight`, as NCHWc."""
    from dlas_ops._tvm import tvm
    from dlas_ops.kernels.shared.blocks import padded
    from dlas_ops.kernels.shared.sums import summed

    dot, lanes = dot_of(str(data.dtype), processor, HALF), processor.lanes()
    out_blocks, in_blocks, kh, kw, inner, *_ = (int(size) for size in weight.shape)
    # The network's input has few channels and needs no whole vector of them.
    data_block = int(data.shape[4]) if len(data.shape) == 5 else min(inner * dot.values, lanes)
    groups = data_block // dot.values
    together = gcd(inner, groups)
    reduced = Reduction(dot, together, in_blocks * kh * kw * (inner // together), joined=conv.is_pointwise)
    tile = output_tile(conv.out_height, conv.out_width, out_blocks, conv.batch, processor, reduced)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    source = padded(data, conv, rows, columns, data_block, border, dot.data)

    def operands(index: Sequence[Expr], step: Sequence[Expr], value: Sequence[Expr]) -> tuple[Expr, Expr]:
        n, o, h, w, v = index
        co, kh, kw, ci = step
        group = co * inner + ci if in_blocks > 1 else ci
        row = h * conv.stride[0] + kh * conv.dilation[0]
        column = w * conv.stride[1] + kw * conv.dilation[1]
        held = source[n, group // groups, row, column, sum(value, group % groups * dot.values)]
        return held, weight[o, co, kh, kw, ci, v, *value]

    reduction = {"co": in_blocks, "kh": kh, "kw": kw, "ci": inner}
    sums = summed((conv.batch, out_blocks, rows, columns, lanes), operands, reduction, dot, "spatial_pack", tile)
    shape = (conv.batch, out_blocks, conv.out_height, conv.out_width, lanes)
    return tvm.te.compute(shape, lambda *index: sums[index], name="output")


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    n, o, h, w, v, co, kh, kw, ci, *_ = extents(sch, block)
    return tiled_space(sch, block, (n, o, h, w, v), (co, kh, kw, ci), cpu)


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Hold a tile of output points x channel vectors in registers; run over the tiles in parallel."""
    for producer in sources(sch, block):
        copy_stage(sch, producer, cpu)
    n, o, h, w, v, co, kh, kw, ci, *value = sch.get_loops(block)
    register_tiled(sch, block, (n, o, h, w, v), (co, kh, kw, ci), cpu, choice, value)
    sum_values(sch, block, v, value, cpu)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`."""
    return thread_space(sch, block, extents(sch, block)[:5], gpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Hold a tile of output points x channel vectors in the registers of each thread."""
    n, o, h, w, v, co, kh, kw, ci, *value = sch.get_loops(block)
    thread_tiled(sch, block, (n, o, h, w, v), (co, kh, kw, ci), gpu, choice, value, channels_first=False, window=True)
