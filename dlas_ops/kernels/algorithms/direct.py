"""Direct convolution on NHWC: the loops of the definition, tiled for registers; nothing is copied but the border."""

from __future__ import annotations

from collections.abc import Sequence

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
GPU_FORMATS = ("dense", "csr")
DTYPES = ("float32", "float16", "bfloat16", "int8")

# Multiplies float16 in float16 where the processor can.
HALF = True


def supports(conv: Conv, target: Target) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None."""
    if conv.groups > 1:
        return "direct vectorises over the output channels of ungrouped convolutions only"
    return None


def block(channels: int, processor: Processor) -> int:
    """Return the channel block of the activations that this algorithm reads and writes: all channels, hence NHWC."""
    return -(-channels // processor.lanes()) * processor.lanes()


def pack(weight: np.ndarray, conv: Conv, processor: Processor) -> np.ndarray:
    """Pack OIHW weights as (output block, height, width, input channel, output channel), padded to whole blocks.

    Channels that one instruction sums lie together, after the output channel; see `packing.in_panels`.
    """
    return in_panels(weight, processor.lanes(), dot_of(str(weight.dtype), processor, HALF))


def compute(conv: Conv, data: Tensor, weight: Tensor, processor: Processor, border: int = 0) -> Tensor:
    """Return the convolution of `data` (NHWC, or NCHW at the network's input) with packed `weight`, as NHWC."""
    from dlas_ops._tvm import tvm
    from dlas_ops.kernels.shared.blocks import padded
    from dlas_ops.kernels.shared.sums import summed

    dot, lanes = dot_of(str(data.dtype), processor, HALF), processor.lanes()
    out_blocks, kh, kw, depth, *_ = (int(size) for size in weight.shape)
    reduced = Reduction(dot, depth, kh * kw, joined=conv.is_pointwise)
    tile = output_tile(conv.out_height, conv.out_width, out_blocks, conv.batch, processor, reduced)
    rows, columns = tile.covers(conv.out_height, conv.out_width)
    channels = int(data.shape[4]) if len(data.shape) == 5 else depth * dot.values
    source = padded(data, conv, rows, columns, channels, border, dot.data)

    def operands(index: Sequence[Expr], step: Sequence[Expr], value: Sequence[Expr]) -> tuple[Expr, Expr]:
        n, b, h, w, c = index
        kh, kw, ci = step
        row = h * conv.stride[0] + kh * conv.dilation[0]
        column = w * conv.stride[1] + kw * conv.dilation[1]
        held = source[n, b, row, column, sum(value, ci * dot.values)]
        return held, weight[c // lanes, kh, kw, ci, c % lanes, *value]

    channels = out_blocks * lanes
    reduction = {"kh": kh, "kw": kw, "ci": depth}
    sums = summed((conv.batch, 1, rows, columns, channels), operands, reduction, dot, "direct", tile)
    shape = (conv.batch, 1, conv.out_height, conv.out_width, channels)
    return tvm.te.compute(shape, lambda *index: sums[index], name="output")


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    n, b, h, w, c, kh, kw, ci, *_ = extents(sch, block)
    return tiled_space(sch, block, (n * b, c // cpu.lanes(), h, w, cpu.lanes()), (kh, kw, ci), cpu)


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Hold a tile of output points x channel vectors in registers; run over the tiles in parallel."""
    for producer in sources(sch, block):
        copy_stage(sch, producer, cpu)
    n, b, h, w, c, kh, kw, ci, *value = sch.get_loops(block)
    o, v = sch.split(c, [None, cpu.lanes()])
    register_tiled(sch, block, (sch.fuse(n, b), o, h, w, v), (kh, kw, ci), cpu, choice, value)
    sum_values(sch, block, v, value, cpu)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`."""
    n, b, h, w, c, *_ = extents(sch, block)
    return thread_space(sch, block, (n * b, c // gpu.lanes(), h, w, gpu.lanes()), gpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Hold a tile of output points x channel vectors in the registers of each thread."""
    n, b, h, w, c, kh, kw, ci, *value = sch.get_loops(block)
    o, v = sch.split(c, [None, gpu.lanes()])
    spatial = sch.fuse(n, b), o, h, w, v
    thread_tiled(sch, block, spatial, (kh, kw, ci), gpu, choice, value, channels_first=True, window=True)
