"""CSR weights and a source of input vectors → loops that sum them, a tile of points at a time held in registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.schedules import BYTES, divisors
from dlas_ops.sparse.csr import Csr
from dlas_ops.targets import Cpu

te, tirx = tvm.te, tvm.tirx
SBlock, SBlockRealize = tvm.s_tir.SBlock, tvm.s_tir.SBlockRealize

# (buffer of the source, image, block of columns, index in it, tile, vector in the tile, lane) → what it multiplies.
Load = Callable[[Any, Any, Any, Any, Any, Any, Any], Any]

# Fewer tasks leave cores idle at the end.
TASKS_PER_CORE = 4

# Part of the L1 cache that the inputs may take; the rest is for sums and for weights on their way.
SOURCE_OF_L1 = 0.5

# Part of the L2 cache that the sums of a task may take.
SUMS_OF_L2 = 0.1

# Sums that hide the latency of a multiply-add: its 4 cycles, two of them a cycle.
INDEPENDENT_SUMS = 8


@dataclass(frozen=True)
class Tile:
    """Sums of one task: of `filters`, at points of which `vectors` of `lanes` are in registers at a time.

    With a `pitch` these are `rows` of `width` points, each `pitch` after the one before; what lies between the rows is
    left out. Otherwise all of them are points of the map. `points` of it are the tile's. `packed` tells whether the
    source is (image, tile, place): a tile then reads its own part only.
    """

    filters: int
    vectors: int
    lanes: int
    points: int
    rows: int = 0
    width: int = 0
    pitch: int = 0
    packed: int = 0

    @property
    def summed(self) -> int:
        """Points summed, those between the rows included."""
        return self.vectors * self.lanes


def filters_of(filters: int, tiles: int, points: int, cpu: Cpu) -> int:
    """Return how many of `filters` one task takes when there are `tiles` of `points` summed."""
    tasks = -(-TASKS_PER_CORE * cpu.cores // tiles)
    held = int(cpu.l2_bytes * SUMS_OF_L2) // (points * BYTES)
    return max(size for size in divisors(filters) if size <= max(1, min(filters // tasks, held)))


def columns_in_cache(size: int, cpu: Cpu) -> int:
    """Return how many columns (or channels) whose inputs take `size` bytes per tile are kept in the L1 cache."""
    return max(1, int(cpu.l1_bytes * SOURCE_OF_L1) // size)


def sums_of(
    source: Any, weight: Csr, shape: Sequence[int], tile: Tile, load: Load, name: str,
    attributes: Mapping[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Return the sums (image, filter, point) of CSR `weight` times `source`, which `schedule` may tile otherwise.

    Parameters
    ----------
    load : what a non-zero multiplies
    name : of the algorithm, which schedules
    attributes : more annotations of the block
    """
    inputs = [source, *weight]
    return te.extern(
        tuple(shape),
        inputs,
        lambda ins, outs: nest(outs[0], ins, load, tile, 1, name),
        name=name,
        dtype=[source.dtype],
        in_buffers=[tirx.decl_buffer(tensor.shape, tensor.dtype, tensor.op.name, layout=None) for tensor in inputs],
        out_buffers=[tirx.decl_buffer(shape, source.dtype, name, layout=None)],
        attrs={
            "dlas.schedule": f"{name}/csr",
            "dlas.tile": [int(size) for size in astuple(tile)],
            **(attributes or {}),
        },
    )


def nest(sums: Any, inputs: Sequence[Any], load: Load, tile: Tile, unroll: int, name: str) -> Any:
    """Return loops over images, tiles of points and tasks of filters; a block sums one task's tile."""
    images, filters, points = (int(size) for size in sums.shape)
    sizes = {"n": images, "t": points // tile.points, "f": filters // tile.filters}
    loops = [tirx.Var(name, "int32") for name in sizes]
    axes = [tirx.Var(f"v{name}", "int32") for name in sizes]
    n, t, f = axes
    region = ((n, 1), (f * tile.filters, tile.filters), (t * tile.points, tile.points))
    block = SBlock(
        [
            tirx.IterVar(tvm.ir.Range(0, size), axis, tirx.IterVar.DataPar)
            for axis, size in zip(axes, sizes.values(), strict=True)
        ],
        [_read(inputs[0], *((n, t) if tile.packed else ())), *(_read(buffer) for buffer in inputs[1:])],
        [tirx.BufferRegion(sums, [tvm.ir.Range.from_min_extent(*part) for part in region])],
        name,
        *_task(sums, inputs, load, axes, tile, unroll),
    )
    statement = SBlockRealize(loops, True, block)
    for loop, size in reversed(list(zip(loops, sizes.values(), strict=True))):
        statement = tirx.For(loop, 0, size, tirx.ForKind.SERIAL, statement)
    return statement


def _read(buffer: Any, *begin: Any) -> Any:
    """Return the region of `buffer` at `begin` in its first axes, one wide, and all of the others."""
    region = [tvm.ir.Range.from_min_extent(first, 1) for first in begin]
    return tirx.BufferRegion(buffer, region + [tvm.ir.Range(0, size) for size in buffer.shape[len(begin) :]])


def _task(
    sums: Any, inputs: Sequence[Any], load: Load, axes: Sequence[Any], tile: Tile, unroll: int
) -> tuple[Any, Any, list[Any]]:
    """Return the body, no init and the buffers of the block that sums one task.

    Block after block of columns, every filter's sums are taken to registers and back.
    """
    n, t, f = axes
    filters = int(sums.shape[1])
    blocks = (int(inputs[3].shape[0]) - 1) // filters
    first = f * tile.filters
    held = tirx.decl_buffer((tile.filters, tile.summed), sums.dtype, "held", scope="local")
    partial = tirx.decl_buffer((_parts(tile, unroll), tile.summed), sums.dtype, "partial", scope="local")

    def place(i: Any, point: Any) -> tuple[Any, list[Any]]:
        return (held, [i, point]) if tile.pitch else (sums, [n, first + i, t * tile.points + point])

    def clear(i: Any) -> Any:
        def store(v: Any, lane: Any) -> Any:
            buffer, index = place(i, v * tile.lanes + lane)
            return tirx.BufferStore(buffer, tirx.const(0.0, sums.dtype), index)

        return _over(tile, store)

    def row(b: Any, i: Any) -> Any:
        begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")
        source, values, indices, pointers = inputs
        pointer = b * filters + first + i

        def input_of(k: Any, v: Any, lane: Any) -> Any:
            return values[k] * load(source, n, b, indices[k].astype("int32"), t, v, lane)

        return tirx.SeqStmt([
            tirx.Bind(begin, pointers[pointer]),
            tirx.Bind(end, pointers[pointer + 1]),
            *_row(tile, partial, lambda point: place(i, point), (begin, end), input_of, unroll),
        ])  # fmt: skip

    body = [
        _loop(tile.filters, clear),
        _loop(blocks, lambda b: _loop(tile.filters, lambda i: row(b, i))),
    ]
    if not tile.pitch:
        return tirx.SeqStmt(body), None, [partial]
    body.append(_loop(tile.filters, lambda i: _compact(sums, held, (n, first + i, t * tile.points), i, tile)))
    return tirx.SeqStmt(body), None, [partial, held]


def _parts(tile: Tile, unroll: int) -> int:
    """Return how many sums of a point successive non-zeros add to, where one alone would wait for the last addition."""
    return min(unroll, max(1, INDEPENDENT_SUMS // tile.vectors))


def _row(
    tile: Tile, partial: Any, place: Callable[[Any], tuple[Any, list[Any]]], ends: tuple[Any, Any],
    input_of: Callable[[Any, Any, Any], Any], unroll: int,
) -> list[Any]:  # fmt: skip
    """Return the statements that add the products of the non-zeros between `ends` to the sums at `place`."""
    begin, end = ends
    parts = int(partial.shape[0])

    def start(u: int) -> Any:
        def store(v: Any, lane: Any) -> Any:
            point = v * tile.lanes + lane
            buffer, index = place(point)
            value = tirx.const(0.0, partial.dtype) if u else buffer[*index]
            return tirx.BufferStore(partial, value, [u, point])

        return _over(tile, store)

    def nonzero(k: Any, part: Any) -> Any:
        def add(v: Any, lane: Any) -> Any:
            index = [part, v * tile.lanes + lane]
            return tirx.BufferStore(partial, partial[*index] + input_of(k, v, lane), index)

        return _over(tile, add)

    def finish(v: Any, lane: Any) -> Any:
        point = v * tile.lanes + lane
        total = partial[0, point]
        for part in range(1, parts):
            total = total + partial[part, point]
        buffer, index = place(point)
        return tirx.BufferStore(buffer, total, index)

    rounds = (end - begin) // unroll
    steps = [
        *(start(u) for u in range(parts)),
        _loop(rounds, lambda k: _unrolled(unroll, lambda u: nonzero(begin + k * unroll + u, u % parts))),
    ]
    if unroll > 1:
        steps.append(_loop((end - begin) % unroll, lambda k: nonzero(begin + rounds * unroll + k, 0)))
    return [*steps, _over(tile, finish)]


def _compact(sums: Any, held: Any, place: tuple[Any, Any, Any], i: Any, tile: Tile) -> Any:
    """Return the copy of a filter's sums without what lies between rows, filled up with zeros."""
    n, o, first = place

    def copy(r: Any) -> Any:
        return _vector(
            tile.width,
            lambda w: tirx.BufferStore(sums, held[i, r * tile.pitch + w], [n, o, first + r * tile.width + w]),
        )

    covered = tile.rows * tile.width
    steps = [_unrolled(tile.rows, copy)]
    if tile.points > covered:
        zero = tirx.const(0.0, sums.dtype)
        steps.append(
            _vector(tile.points - covered, lambda w: tirx.BufferStore(sums, zero, [n, o, first + covered + w]))
        )
    return tirx.SeqStmt(steps) if len(steps) > 1 else steps[0]


def _loop(count: Any, statement: Callable[[Any], Any], kind: Any = tirx.ForKind.SERIAL) -> Any:
    variable = tirx.Var("k", "int32")
    return tirx.For(variable, 0, count, kind, statement(variable))


def _unrolled(count: int, statement: Callable[[Any], Any]) -> Any:
    return _loop(count, statement, tirx.ForKind.UNROLLED)


def _vector(count: int, statement: Callable[[Any], Any]) -> Any:
    return _loop(count, statement, tirx.ForKind.VECTORIZED) if count > 1 else statement(0)


def _over(tile: Tile, statement: Callable[[Any, Any], Any]) -> Any:
    return _unrolled(tile.vectors, lambda v: _vector(tile.lanes, lambda lane: statement(v, lane)))
