"""Rows and panels of columns → their matrix product, a tile of rows and panels at a time in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule, Tensor
from dlas_ops.kernels.shared.blocks import copied
from dlas_ops.kernels.shared.sums import summed
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import Dot
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor
from dlas_ops.schedule.group_tiling import output_tile
from dlas_ops.schedule.matrix_tiling import Reduction
from dlas_ops.schedule.register_tiles import register_tiled, sources, sum_values, tiled_space
from dlas_ops.schedule.steps import Epilogue, extents, parallel, vectorize_last
from dlas_ops.schedule.thread_tiles import parts_of, sum_together, thread_space, thread_tiled
from dlas_ops.schedule.threads import bind_all
from dlas_ops.schedule.tunables import Choice, Space

te, tirx = tvm.te, tvm.tirx

# The schedule of the sums, and the copy of the rows that they read, where there is one.
KIND, ROWS = "product", "rows"


class Rows(NamedTuple):
    """The left operand: `element` takes image, row and column; `viewed` says that to read it takes more than a load."""

    images: int
    rows: int
    inputs: int
    dtype: str
    element: Callable[[Expr, Expr, Expr], Expr]
    viewed: bool = False


class Panels(NamedTuple):
    """The right operand in panels of one vector of columns.

    `element` takes image, panel, group of rows, lane and the index in the group, if its rows are summed in groups.
    """

    blocks: int
    groups: int
    element: Callable[[Expr, Expr, Expr, Expr, Sequence[Expr]], Expr]


def sums(data: Rows, panels: Panels, dot: Dot, processor: Processor) -> Tensor:
    """Return the sums (image, 1, 1, row, column), rows padded to whole tiles and columns to whole vectors."""
    lanes = processor.lanes()
    reduced = Reduction(dot, panels.groups, 1, joined=True)
    tile = output_tile(1, data.rows, panels.blocks, data.images, processor, reduced)
    _, rows = tile.covers(1, data.rows)
    depth = panels.groups * dot.values
    element = data.element
    if data.viewed or rows > data.rows or depth > data.inputs or data.dtype != dot.data:
        element = _copied(data, rows, depth, dot)

    def operands(index: Sequence[Expr], step: Sequence[Expr], value: Sequence[Expr]) -> tuple[Expr, Expr]:
        n, _, _, r, c = index
        [k] = step
        return element(n, r, sum(value, k * dot.values)), panels.element(n, c // lanes, k, c % lanes, value)

    shape = data.images, 1, 1, rows, panels.blocks * lanes
    return summed(shape, operands, {"k": panels.groups}, dot, KIND, tile)


def _copied(data: Rows, rows: int, depth: int, dot: Dot) -> Callable[[Expr, Expr, Expr], Expr]:
    """Return a reader of a copy of `data` of so many rows and columns, in the dtype of the products.

    Rows beyond the last one repeat it: what is summed of them is dropped.
    """

    def element(n: Expr, r: Expr, k: Expr) -> Expr:
        row = tirx.min(r, data.rows - 1) if rows > data.rows else r
        inside = k < data.inputs if depth > data.inputs else tirx.const(True, "bool")
        return copied([inside], data.element(n, row, k), dot.data)

    copy = te.compute((data.images, rows, depth), element, name=ROWS)
    return lambda n, r, k: copy[n, r, k]


def unraveled(index: Expr, shape: Sequence[int]) -> list[Expr]:
    """Return the index along each axis of `shape` of the number `index`, which counts through all of it."""
    found: list[Expr] = []
    for size in reversed(shape):
        found.insert(0, index % size if size > 1 else tirx.const(0, "int32"))
        index = index // size
    return found


def raveled(index: Sequence[Expr], shape: Sequence[int]) -> Expr:
    """Return the number that counts through all of `shape` for the index along each axis."""
    number: Expr = tirx.const(0, "int32")
    for each, size in zip(index, shape, strict=True):
        number = number * size + each
    return number


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`."""
    n, b, h, w, c, k, *_ = extents(sch, block)
    return tiled_space(sch, block, (n * b, c // cpu.lanes(), h, w, cpu.lanes()), (k,), cpu)


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Hold a tile of rows x panels in registers; run over the tiles in parallel."""
    _inline_views(sch, block)
    read, apart = sources(sch, block), _is_apart(sch, block, cpu)
    epilogue = Epilogue.apart(sch, block) if apart else Epilogue(sch, block)
    for each in epilogue.blocks if not apart else ():
        in_rows(sch, block, each, kept=each is not epilogue.blocks[-1])
    n, b, h, w, c, k, *value = sch.get_loops(block)
    o, v = sch.split(c, [None, cpu.lanes()])
    points, channels = register_tiled(sch, block, (sch.fuse(n, b), o, h, w, v), (k,), cpu, choice, value, epilogue)
    for producer in read:
        if channels is not None and sch.get(producer).name_hint == ROWS:
            # The rows of one tile stay in the L1 cache while all panels pass by.
            sch.compute_at(producer, points, preserve_unit_loops=True)  # else there is none to vectorize
        else:
            parallel(sch, sch.fuse(*sch.get_loops(producer)[:2]), cpu)
        vectorize_last(sch, producer, cpu)
    sum_values(sch, block, v, value, cpu)


def tunables_gpu(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule_gpu`: of one row, ``parts`` is how many threads sum one output."""
    n, b, h, w, c, *_ = extents(sch, block)
    if gpu.stages and n * w == 1:
        return {"parts": parts_of(gpu.lanes(), gpu)}
    return thread_space(sch, block, (n * b, c // gpu.lanes(), h, w, gpu.lanes()), gpu)


def schedule_gpu(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Hold a tile of rows x panels in the registers of each thread; the epilogue follows when all is summed.

    Of one row, the threads of a work-group sum parts of the inputs, if they share memory to add these sums in.
    """
    _inline_views(sch, block)
    n, b, h, w, c, k, *value = sch.get_loops(block)
    o, v = sch.split(c, [None, gpu.lanes()])
    if "parts" in choice:
        for producer in sources(sch, block):
            bind_all(sch, producer, gpu)
        sum_together(sch, block, (sch.fuse(n, b), o, h, w, v), (k, *value), choice["parts"], gpu)
        return
    spatial = sch.fuse(n, b), o, h, w, v
    thread_tiled(sch, block, spatial, (k,), gpu, choice, value, channels_first=True, apart=True)


def _inline_views(sch: Schedule, block: SBlock) -> None:
    """Inline the operators between the activations and what `block` reads."""
    for producer in sources(sch, block):
        while before := sch.get_producers(producer):
            sch.compute_inline(before[0])


def _is_apart(sch: Schedule, block: SBlock, cpu: Cpu) -> bool:
    """Tell whether the epilogue follows all sums: it has other points than they have, or no whole vectors of them."""
    [first] = sch.get_consumers(block)
    [last] = sch.get_output_blocks(sch.get_sblock("root"))
    before, after = extents(sch, first), extents(sch, last)
    return before[-1] % cpu.lanes() != 0 or after[-1] != before[-1] or prod(after) != prod(before)


def in_rows(sch: Schedule, block: SBlock, epilogue: SBlock, kept: bool = False) -> None:
    """Run `epilogue` over image, row and column, as `block` sums them.

    A result that is `kept` inside the program gets the same axes: a tile can hold rows of two images, and TVM computes
    such a part of a result only where one axis counts all rows.
    """
    images = extents(sch, block)[0]
    leading = extents(sch, epilogue)[:-1]
    if images > 1:
        batch, inside = leading[:-1], leading[-1:]
    else:
        batch, inside = [], leading

    def rows(*index: Expr) -> tuple[Expr, ...]:
        image = (raveled(index[: len(batch)], batch),) if batch else ()
        return (*image, raveled(index[len(batch) : -1], inside), index[-1])

    if len(batch) > 1 or len(inside) > 1:
        layout = tirx.IndexMap.from_func(rows, ndim=len(leading) + 1)
        if kept:
            sch.transform_layout(epilogue, ("write", 0), layout)
        sch.transform_block_layout(epilogue, layout)
