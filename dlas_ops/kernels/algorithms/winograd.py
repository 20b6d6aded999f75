"""Winograd convolution on NCHWc: 3x3 kernels and tiles of the map, transformed, multiply point by point.

F(m x m, 3 x 3) turns a tile of m + 2 by m + 2 inputs into m x m outputs with (m + 2)^2 multiplications per pair of
channels instead of 9 m^2: 2.25 times fewer for m = 2, 4 times fewer for m = 4. A cost model chooses m by the shape.

Error, as the largest against a float64 reference relative to the largest output, standard normal inputs and weights, 16
to 512 channels: at most 1.2e-6 for m = 2 and 4.4e-6 for m = 4, where direct convolution has up to 1.8e-6.

Sources: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv 1509.09308. The points of
m = 4 are those that keep rounding small among the symmetric ones.
"""

from __future__ import annotations

from itertools import product
from math import isqrt, prod

import numpy as np

from dlas_ops._types import Expr, Loop, SBlock, Schedule, Target, Tensor
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.packing import in_vectors
from dlas_ops.kernels.shared.winograd_plan import Work, most, variant
from dlas_ops.kernels.shared.winograd_transforms import derive, entry, matrices
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.steps import (
    AHEAD_KIB,
    Epilogue,
    divisors,
    extents,
    fetch_ahead,
    map_stage,
    parallel,
    tile_of,
    unrollable,
    unrolled,
    vectorize_inner,
)
from dlas_ops.schedule.thread_tiles import thread_space, thread_tiled
from dlas_ops.schedule.threads import bind_all, bind_points
from dlas_ops.schedule.tiling import Tile
from dlas_ops.schedule.tunables import Choice, Space, rule_first

FORMATS = ("dense",)
GPU_FORMATS = ("dense",)
DTYPES = ("float32",)

# Largest error relative to the largest output that the tests accept, by m.
ERROR = {2: 2e-6, 4: 8e-6}


def supports(conv: Conv, target: Target) -> str | None:
    """Return why this algorithm cannot run `conv` on `target`, or None."""
    if conv.groups > 1:
        return "winograd multiplies all input by all output channels, and a grouped convolution only some"
    if conv.kernel != (3, 3):
        return f"winograd is for 3x3 kernels, not {conv.kernel[0]}x{conv.kernel[1]}"
    if conv.stride != (1, 1) or conv.dilation != (1, 1):
        return "winograd is for stride 1 and dilation 1"
    return None


def block(channels: int, processor: Processor) -> int:
    """Return the channel block of the activations that this algorithm reads and writes."""
    return processor.lanes()


def pack(weight: np.ndarray, conv: Conv, processor: Processor) -> np.ndarray:
    """Transform OIHW weights in float64, as (output block, m + 2, m + 2, input channel, output channel) in float32."""
    kernel = matrices(variant(conv, processor)[0].m)[1]
    vectors = in_vectors(weight, processor.lanes()).astype(np.float64).transpose(0, 3, 4, 2, 1)
    blocks, _, _, channels, lanes = vectors.shape
    transformed = np.kron(kernel, kernel) @ vectors.reshape(blocks, 9, channels * lanes)
    return transformed.astype(np.float32).reshape(blocks, len(kernel), len(kernel), channels, lanes)


def compute(conv: Conv, data: Tensor, weight: Tensor, processor: Processor) -> Tensor:
    """Return the convolution of `data` (NCHWc, or NCHW at the network's input) with packed `weight`, as NCHWc."""
    from dlas_ops._tvm import tvm
    from dlas_ops.kernels.shared.blocks import annotation, padded

    te = tvm.te
    work, tile = variant(conv, processor)
    lanes, m, size = processor.lanes(), work.m, work.m + 2
    backward, _, forward = matrices(m)
    source = padded(data, conv, work.height * m, work.width * m, lanes)
    in_blocks = int(source.shape[1])
    # Rows of the input's transform differ in the signs between their even and their odd terms, opposite points of the
    # outputs' in one sign: sums that rows share are written alike, so that the compiler finds them.
    even_odd = [range(size - 2, -1, -2), range(size - 1, -1, -2)]
    pairs = [range(1), *(range(first, first + 2) for first in range(1, size - 1, 2)), range(size - 1, size)]

    def half_transformed(n: Expr, c: Expr, h: Expr, w: Expr, a: Expr, x: Tensor, v: Expr) -> Expr:
        return entry(forward, even_odd, a, [source[n, c, h * m + r, w * m + x, v] for r in range(size)])

    half = te.compute(
        (conv.batch, in_blocks, work.height, work.width, size, size, lanes), half_transformed, name="half_transformed"
    )
    tiles = te.compute(
        (size, size, conv.batch, in_blocks, work.height, work.width, lanes),
        lambda a, b, n, c, h, w, v: entry(forward, even_odd, b, [half[n, c, h, w, a, x, v] for x in range(size)]),
        name="transformed",
    )
    inner = lanes if conv.in_channels % lanes == 0 else conv.in_channels
    co, ci = te.reduce_axis((0, conv.in_channels // inner), "co"), te.reduce_axis((0, inner), "ci")

    def sum_of_products(a: Expr, b: Expr, n: Expr, o: Expr, h: Expr, w: Expr, v: Expr) -> Expr:
        channel = co * inner + ci
        held = tiles[a, b, n, channel // lanes, h, w, channel % lanes]
        return te.sum(held * weight[o, a, b, channel, v], axis=[co, ci])

    sums = te.compute(
        (size, size, conv.batch, work.vectors, work.height, work.width, lanes),
        sum_of_products,
        name="winograd",
        attrs=annotation("winograd", tile),
    )
    half_back = te.compute(
        (conv.batch, work.vectors, work.height, work.width, m, size, lanes),
        lambda n, o, h, w, i, b, v: entry(backward, pairs, i, [sums[a, b, n, o, h, w, v] for a in range(size)]),
        name="half_inverse",
    )

    def point(n: Expr, o: Expr, h: Expr, w: Expr, v: Expr) -> Expr:
        return entry(backward, pairs, w % m, [half_back[n, o, h // m, w // m, h % m, b, v] for b in range(size)])

    points = te.compute((conv.batch, work.vectors, work.height * m, work.width * m, lanes), point, name="inverse")
    shape = (conv.batch, work.vectors, conv.out_height, conv.out_width, lanes)
    return te.compute(shape, lambda *index: points[index], name="output")


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`.

    ``tile`` is (rows, columns, channel vectors) of sums in registers; ``panel`` is how many of those tiles, at
    most, are transformed before they are multiplied; ``groups`` is into how many parts at most, run in parallel, the
    output channels of a panel are split; ``unroll`` is how many steps of the reduction are unrolled; ``prefetch`` is
    how many KiB ahead the weights are asked for; ``derived`` is for how many input channels at a time all but 9
    elements of transformed kernels are computed from these 9, 0 being that all are read. The rules read all: what it is
    worth to read less depends on the memory beyond the L2 cache, which a target does not describe.
    """
    work, tile = _work_of(sch, block), tile_of(sch, block)
    tiles = [
        (h, w, v)
        for h, w, v in product(divisors(work.height), divisors(work.width), divisors(work.vectors))
        if Tile(h, w, v).registers <= cpu.tile_registers
    ]
    _, count, groups = work.plan(tile, cpu)
    counts = [1 << power for power in range((work.height * work.width).bit_length())]
    return {
        "tile": rule_first((tile.height, tile.width, tile.vectors), tiles),
        "panel": rule_first(count, counts),
        "groups": rule_first(groups, divisors(work.vectors)),
        "unroll": unrollable(extents(sch, block)[-2:]),
        "prefetch": AHEAD_KIB,
        "derived": [0, *(size for size in (4, 8, 16) if extents(sch, block)[-1] % size == 0)],
    }


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Take a panel of tiles at a time, panels in parallel, through both transforms and the product between them."""
    work, tile = _work_of(sch, block), Tile(*choice["tile"])
    rows, columns = work.panel(tile, choice["panel"])
    groups = most(work.vectors // tile.vectors, choice["groups"])
    [transformed] = sch.get_producers(block)
    [half_inverse] = sch.get_consumers(block)
    [inverse] = sch.get_consumers(half_inverse)
    epilogue = Epilogue(sch, inverse)
    n, o, h, w, v = sch.get_loops(inverse)
    group, oo, oi = sch.split(o, [groups, None, tile.vectors])
    ho, hi, i = sch.split(h, [None, rows, work.m])
    wo, wi, j = sch.split(w, [None, columns, work.m])
    sch.reorder(n, ho, wo, group, oo, hi, wi, oi, i, j, v)
    panel = sch.fuse(n, ho, wo, group)
    epilogue.place(oi)
    sch.set_scope(inverse, 0, "local")
    _transform(sch, inverse, half_inverse, oi, cpu)
    epilogue.vectorize(5, cpu.lanes())
    if epilogue.rest is not None:
        map_stage(sch, epilogue.rest, cpu)
    multiply = _multiply_derived if choice["derived"] else _multiply
    sums = multiply(sch, block, oo, tile, cpu, choice)
    sch.compute_at(transformed, panel, preserve_unit_loops=True)
    a, b, n, c, h, w, v = sch.get_loops(transformed)[1:]
    sch.reorder(n, c, h, w, a, b, v)
    [half] = sch.get_producers(transformed)
    _transform(sch, transformed, half, w, cpu)
    for border in sch.get_producers(half):
        sch.compute_at(border, panel)
        sch.vectorize(sch.get_loops(border)[-1])
    # A tile's elements lie an odd number of vectors apart: they would else compete for a few sets of the L1 cache.
    for held in (transformed, sch.get_producers(half_inverse)[0]):
        sch.storage_align(held, 0, 1, 2 * cpu.lanes(), cpu.lanes())
    parallel(sch, panel, cpu)
    for summed, depth in sums:
        first = sch.decompose_reduction(summed, sch.get_loops(summed)[depth])
        vectorize_inner(sch, first, sch.get_loops(first)[depth:], cpu.lanes(), unroll=depth > 2)


def _transform(sch: Schedule, whole: SBlock, half: SBlock, loop: Loop, processor: Processor) -> None:
    """Compute `half`, the transform of columns, and `whole`, that of rows too, unrolled for one tile at `loop`."""
    sch.compute_at(half, loop)
    depth = len(sch.get_loops(whole)) - 3
    for block in (whole, half):
        vectorize_inner(sch, block, sch.get_loops(block)[depth:], processor.lanes())
    sch.set_scope(half, 0, "local")


# Blocks that sum products, with how many loops are around the first of their reductions.
Sums = list[tuple[SBlock, int]]


def _multiply(sch: Schedule, block: SBlock, loop: Loop, tile: Tile, cpu: Cpu, choice: Choice) -> Sums:
    """Compute the products of a panel at `loop`, a register tile at a time."""
    sch.compute_at(block, loop, preserve_unit_loops=True)
    sums = sch.cache_write(block, 0, "local")
    a, b, n, o, h, w, v, co, ci = sch.get_loops(block)[2:]
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    sch.reorder(a, b, n, ho, wo, co, ci, hi, wi, o, v)
    tiles = sch.fuse(a, b, n, ho, wo)
    sch.reverse_compute_at(sums, tiles)
    sch.vectorize(v)
    for inner in (hi, wi, o):
        sch.unroll(inner)
    vectorize_inner(sch, sums, sch.get_loops(sums)[3:], cpu.lanes())
    fetch_ahead(sch, unrolled(sch, (co, ci), choice["unroll"]), choice["prefetch"])
    return [(block, 3)]


def _multiply_derived(sch: Schedule, block: SBlock, loop: Loop, tile: Tile, cpu: Cpu, choice: Choice) -> Sums:
    """Compute the products of a panel at `loop` for some input channels at a time, whose kernels are derived before.

    These kernels stay in the L1 cache. Sums over all channels pass by it in between, a register tile at a time: of a
    row of a transformed tile if that fits, since sums over few channels end before many of them are under way.
    """
    size = extents(sch, block)[0]
    *_, co, ci = sch.get_loops(block)
    co_inner, _ = sch.split(ci, [None, choice["derived"]])
    part = sch.rfactor(sch.fuse(co, co_inner), 0)
    kernels = sch.cache_read(part, 1, "local")
    derive(sch, kernels)
    sch.compute_at(block, loop, preserve_unit_loops=True)
    step, a, b, n, o, h, w, v = sch.get_loops(block)[2:]
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    sch.reorder(step, a, n, ho, wo, b, hi, wi, o, v)
    row = size * tile.accumulators <= cpu.tile_registers
    tiles = sch.fuse(a, n, ho, wo) if row else sch.fuse(a, n, ho, wo, b)
    sch.compute_at(part, tiles, preserve_unit_loops=True)
    sch.set_scope(part, 0, "local")
    *inner, lane = sch.get_loops(part)[6:12]
    reduction = sch.get_loops(part)[12:]
    sch.reorder(*reduction, *inner, lane)
    for vector in (v, lane):
        sch.vectorize(vector)
    for loop in (*inner, *([b] if row else []), hi, wi, o):
        sch.unroll(loop)
    unrolled(sch, reduction, choice["unroll"])
    sch.compute_at(kernels, step, preserve_unit_loops=True)
    vectors, a, b, channel, lane = sch.get_loops(kernels)[3:]
    # Workaround: LLVM 22: a loop over single channels becomes calls of memcpy; tests/workarounds
    channel, pair = sch.split(channel, [None, 2])
    sch.reorder(vectors, channel, pair, a, b, lane)
    sch.vectorize(lane)
    for loop in (pair, a, b):
        sch.unroll(loop)
    fetch_ahead(sch, channel, choice["prefetch"])
    return [(block, 2), (part, 6)]


def _work_of(sch: Schedule, block: SBlock) -> Work:
    size, _, batch, vectors, height, width, _, *reduction = extents(sch, block)
    return Work(size - 2, batch, prod(reduction), vectors, height, width)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`, which are those of the product between the transforms."""
    a, b, n, o, h, w, v, *_ = extents(sch, block)
    return thread_space(sch, block, (a * b * n, o, h, w, v), gpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Run three kernels: the transform of a tile in each thread, the products, and the transform back of a tile."""
    [before], [after] = sch.get_producers(block), sch.get_consumers(block)
    schedule_around_gpu(sch, before, after, gpu)
    a, b, n, o, h, w, v, *reduction = sch.get_loops(block)
    images = sch.fuse(a, b, n)
    thread_tiled(sch, block, (images, o, h, w, v), reduction, gpu, choice, [], channels_first=False, alone=True)


def schedule_around_gpu(sch: Schedule, transformed: SBlock, half_inverse: SBlock, gpu: Gpu) -> None:
    """Run the transform of a tile, and the transform back of one, in each thread of two kernels.

    Parameters
    ----------
    transformed, half_inverse : what the sums of products read, and what reads them
    """
    m = isqrt(extents(sch, transformed)[0] * extents(sch, transformed)[1]) - 2
    [inverse] = sch.get_consumers(half_inverse)
    [half] = sch.get_producers(transformed)
    for border in sch.get_producers(half):
        sch.compute_inline(border)
    a, b, *place, v = sch.get_loops(transformed)
    sch.reorder(*place, a, b, v)
    _transform(sch, transformed, half, bind_points(sch, place, gpu), gpu)

    epilogue = Epilogue(sch, inverse)
    n, o, h, w, v = sch.get_loops(inverse)
    ho, i = sch.split(h, [None, m])
    wo, j = sch.split(w, [None, m])
    sch.reorder(n, o, ho, wo, i, j, v)
    thread = bind_points(sch, (n, o, ho, wo), gpu)
    epilogue.place(thread)
    sch.set_scope(inverse, 0, "local")
    _transform(sch, inverse, half_inverse, thread, gpu)
    epilogue.vectorize(2, gpu.lanes())
    if epilogue.rest is not None:
        bind_all(sch, epilogue.rest, gpu)
