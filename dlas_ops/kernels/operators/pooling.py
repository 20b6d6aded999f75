"""Pooling in channel blocks: sliding windows and the mean over a whole map."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Tensor, Tirx
from dlas_ops.kernels.operators.depthwise import window_tile
from dlas_ops.kernels.shared.blocks import annotation, padded, wide
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.steps import inline_rest, parallel
from dlas_ops.schedule.threads import bind_all, bind_points, vectorize_sums
from dlas_ops.schedule.tunables import Choice


def compute(
    window: Conv,
    data: Tensor,
    kind: str,
    count_padding: bool,
    processor: Processor,
    border: int = 0,
    beyond: tuple[int, int] = (0, 0),
) -> Tensor:
    """Return max ("max") or average ("avg") pooling of blocked `data`, in the same blocks.

    Of 8-bit integers the average is their sum; around them lies `border`. No average counts the last `beyond` rows and
    columns of the border, which rounding the output size up has added.
    """
    te, tirx = tvm.te, tvm.tirx
    blocks, block = int(data.shape[1]), int(data.shape[4])
    tile = window_tile(window.out_height, window.out_width, processor)
    rows, columns = tile.covers(window.out_height, window.out_width)
    # The maximum is the same in any dtype.
    as_stored = kind == "max" and processor.half and data.dtype == "float16"
    dtype = str(data.dtype) if as_stored else wide(str(data.dtype))
    lowest = tirx.min_value(dtype).value if kind == "max" else border
    source = padded(data, window, rows, columns, block, lowest, dtype)
    whole = kind == "avg" and "int" in str(data.dtype)
    kh, kw = (te.reduce_axis((0, size), name) for size, name in zip(window.kernel, ("kh", "kw"), strict=True))
    reduce = te.max if kind == "max" else te.sum

    def point(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        row = h * window.stride[0] + kh * window.dilation[0]
        column = w * window.stride[1] + kw * window.dilation[1]
        held = source[n, co, row, column, ci]
        return reduce(held.astype("int32") if whole else held, axis=[kh, kw])

    held = te.compute(
        (window.batch, blocks, rows, columns, block), point, name=f"{kind}_pool", attrs=annotation("depthwise", tile)
    )
    shape = (window.batch, blocks, window.out_height, window.out_width, block)
    if kind == "max" or whole:
        return te.compute(shape, lambda *index: held[index], name="output")

    def counted(n: Expr, co: Expr, h: Expr, w: Expr, ci: Expr) -> Expr:
        return held[n, co, h, w, ci] / _count(tirx, window, h, w, count_padding, beyond)

    return te.compute(shape, counted, name="output")


def mean(data: Tensor, channels: int, processor: Processor) -> Tensor:
    """Return the mean over height and width of blocked `data` or, of integers, the sum, as (batch, channels, 1, 1)."""
    te = tvm.te
    batch, blocks, height, width, block = (int(size) for size in data.shape)
    h, w = te.reduce_axis((0, height), "h"), te.reduce_axis((0, width), "w")
    whole = "int" in str(data.dtype)
    dtype = "int32" if whole else wide(str(data.dtype))
    sums = te.compute(
        (batch, blocks, block),
        lambda n, co, ci: te.sum(data[n, co, h, w, ci].astype(dtype), axis=[h, w]),
        name="mean",
        attrs=annotation("mean"),
    )

    def element(n: Expr, c: Expr, *_: Expr) -> Expr:
        held = sums[n, c // block, c % block]
        return held if whole else held * tvm.tirx.const(1.0 / (height * width), held.dtype)

    return te.compute((batch, channels, 1, 1), element, name="output")


def schedule_mean(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Sum one vector of channels at a time, vectors in parallel."""
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    n, co, ci, h, w = sch.get_loops(block)
    lanes = min(cpu.lanes(), int(sch.get(ci).extent))
    cio, v = sch.split(ci, [None, lanes])
    channels = sch.fuse(n, co, cio)
    sch.reorder(channels, h, w, v)
    parallel(sch, channels, cpu)
    sch.vectorize(v)
    first = sch.decompose_reduction(block, h)
    sch.vectorize(sch.get_loops(first)[-1])
    batch, out, *rest = sch.get_loops(last)
    extent = int(sch.get(out).extent)
    if extent % lanes == 0 and all(int(sch.get(loop).extent) == 1 for loop in rest):
        outer, inner = sch.split(out, [None, lanes])
        sch.reorder(batch, outer, *rest, inner)
        sch.vectorize(inner)


def schedule_mean_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Give each thread the sums of one vector of channels."""
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    sums = sch.cache_write(block, 0, "local")
    n, co, ci, h, w = sch.get_loops(block)
    cio, v = sch.split(ci, [None, min(gpu.lanes(), int(sch.get(ci).extent))])
    sch.reorder(n, co, cio, h, w, v)
    thread = bind_points(sch, (n, co, cio), gpu)
    sch.reverse_compute_at(sums, thread)
    sch.vectorize(sch.get_loops(sums)[-1])
    vectorize_sums(sch, block, h, v)
    bind_all(sch, last, gpu)


def _count(tirx: Tirx, window: Conv, h: Expr, w: Expr, count_padding: bool, beyond: tuple[int, int]) -> Expr:
    """Return how many inputs the window at output point (`h`, `w`) averages over."""
    counts = []
    sides = zip((h, w), (window.height, window.width), window.padding[:2], window.padding[2:], strict=True)
    for axis, (index, size, before, after) in enumerate(sides):
        begin = index * window.stride[axis] - before
        end = begin + window.extent[axis]
        first, stop = (-before, size + after - beyond[axis]) if count_padding else (0, size)
        counts.append(tirx.min(end, stop) - tirx.max(begin, first))
    return (counts[0] * counts[1]).astype("float32")
