"""CSR weights and a source of input vectors → sums of output rows, a tile of points at a time held in registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.schedules import divisors, inline_rest, vectorize_inner
from dlas_ops.sparse.csr import Csr
from dlas_ops.targets import Cpu
from dlas_ops.tunables import Choice, Space, rule_first

te, tirx = tvm.te, tvm.tirx
SBlock, SBlockRealize = tvm.s_tir.SBlock, tvm.s_tir.SBlockRealize

# (buffer of the source, image, index of a non-zero, tile, vector in the tile, lane) → the input it multiplies.
Load = Callable[[Any, Any, Any, Any, Any, Any], Any]

# Tasks that the filters are dealt to when there are fewer tiles of points.
TASKS_PER_CORE = 2

# Sums that hide the latency of a multiply-add: its 4 cycles, two of them a cycle.
INDEPENDENT_SUMS = 8


@dataclass(frozen=True)
class Tile:
    """Points whose sums are in registers: `vectors` of `lanes`.

    With a `pitch` they are `rows` of `width` points, each `pitch` after the one before; what lies between the rows is
    left out, and the map ends after `valid` points. Otherwise all of them are points of the map.
    """

    vectors: int
    lanes: int
    rows: int = 0
    width: int = 0
    pitch: int = 0
    valid: int = 0
    points: int = 0


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
        lambda ins, outs: _nest(outs[0], ins, load, tile, 1, name),
        name=name,
        dtype=[source.dtype],
        in_buffers=[tirx.decl_buffer(tensor.shape, tensor.dtype, tensor.op.name) for tensor in inputs],
        out_buffers=[tirx.decl_buffer(shape, source.dtype, name)],
        attrs={
            "dlas.schedule": f"{name}/csr",
            "dlas.tile": [tile.vectors, tile.lanes, tile.rows, tile.width, tile.pitch, tile.valid, tile.points],
            **(attributes or {}),
        },
    )


def _nest(sums: Any, inputs: Sequence[Any], load: Load, tile: Tile, unroll: int, name: str) -> Any:
    """Return loops over images, tiles of points and filters; a block sums one tile of one filter."""
    images, filters, points = (int(size) for size in sums.shape)
    sizes = {"n": images, "t": points // tile.points, "o": filters}
    loops = [tirx.Var(name, "int32") for name in sizes]
    axes = [tirx.Var(f"v{name}", "int32") for name in sizes]
    n, t, o = axes
    region = [tvm.ir.Range.from_min_extent(*part) for part in ((n, 1), (o, 1), (t * tile.points, tile.points))]
    block = SBlock(
        [
            tirx.IterVar(tvm.ir.Range(0, size), axis, tirx.IterVar.DataPar)
            for axis, size in zip(axes, sizes.values(), strict=True)
        ],
        [tirx.BufferRegion(buffer, [tvm.ir.Range(0, size) for size in buffer.shape]) for buffer in inputs],
        [tirx.BufferRegion(sums, region)],
        name,
        *_row(sums, inputs, load, axes, tile, unroll),
    )
    statement = SBlockRealize(loops, True, block)
    for loop, size in reversed(list(zip(loops, sizes.values(), strict=True))):
        statement = tirx.For(loop, 0, size, tirx.ForKind.SERIAL, statement)
    return statement


def _row(
    sums: Any, inputs: Sequence[Any], load: Load, axes: Sequence[Any], tile: Tile, unroll: int
) -> tuple[Any, Any, list[Any]]:
    """Return the body, no init and the buffers of the block that sums one row over one tile.

    Successive non-zeros add to different sums where a tile alone has too few to hide the latency.
    """
    source, values, indices, pointers = inputs
    n, t, o = axes
    size = tile.vectors * tile.lanes
    parts = min(unroll, max(1, INDEPENDENT_SUMS // tile.vectors))
    partial = tirx.decl_buffer((parts, size), sums.dtype, "partial", scope="local")
    begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")
    zero = tirx.const(0.0, sums.dtype)

    def nonzero(k: Any, part: Any) -> Any:
        def add(v: Any, lane: Any) -> Any:
            product = values[k] * load(source, n, indices[k].astype("int32"), t, v, lane)
            place = [part, v * tile.lanes + lane]
            return tirx.BufferStore(partial, partial[*place] + product, place)

        return _over(tile, add)

    def total(v: Any, lane: Any) -> Any:
        point = v * tile.lanes + lane
        added = partial[0, point]
        for part in range(1, parts):
            added = added + partial[part, point]
        return added, point

    rounds = (end - begin) // unroll
    body = [
        tirx.Bind(begin, pointers[o]),
        tirx.Bind(end, pointers[o + 1]),
        _unrolled(
            parts, lambda u: _over(tile, lambda v, lane: tirx.BufferStore(partial, zero, [u, v * tile.lanes + lane]))
        ),
        _loop(rounds, lambda k: _unrolled(unroll, lambda u: nonzero(begin + k * unroll + u, u % parts))),
    ]
    if unroll > 1:
        body.append(_loop((end - begin) % unroll, lambda k: nonzero(begin + rounds * unroll + k, 0)))

    if not tile.pitch:
        def store(v: Any, lane: Any) -> Any:
            added, point = total(v, lane)
            return tirx.BufferStore(sums, added, [n, o, t * tile.points + point])

        return tirx.SeqStmt([*body, _over(tile, store)]), None, [partial]

    flat = tirx.decl_buffer((size,), sums.dtype, "flat", scope="local")

    def spill(v: Any, lane: Any) -> Any:
        added, point = total(v, lane)
        return tirx.BufferStore(flat, added, [point])

    def row(r: Any) -> Any:
        return _vector(tile.width, lambda w: tirx.BufferStore(
            sums, flat[r * tile.pitch + w], [n, o, t * tile.points + r * tile.width + w]))

    body += [_over(tile, spill), _unrolled(tile.rows, row)]
    rest = tile.points - tile.rows * tile.width
    if rest:
        body.append(_vector(rest, lambda w: tirx.BufferStore(sums, zero, [n, o, t * tile.points + tile.rows * tile.width + w])))
    return tirx.SeqStmt(body), None, [partial, flat]


def _loop(count: Any, statement: Callable[[Any], Any], kind: Any = tirx.ForKind.SERIAL) -> Any:
    variable = tirx.Var("k", "int32")
    return tirx.For(variable, 0, count, kind, statement(variable))


def _unrolled(count: int, statement: Callable[[Any], Any]) -> Any:
    return _loop(count, statement, tirx.ForKind.UNROLLED)


def _vector(count: int, statement: Callable[[Any], Any]) -> Any:
    return _loop(count, statement, tirx.ForKind.VECTORIZED) if count > 1 else statement(0)


def _over(tile: Tile, statement: Callable[[Any, Any], Any]) -> Any:
    return _unrolled(tile.vectors, lambda v: _vector(tile.lanes, lambda lane: statement(v, lane)))


def _inner(statement: Any) -> Any:
    while not isinstance(statement, SBlockRealize):
        statement = statement.body
    return statement.block


def tile_of(sch: Any, block: Any) -> Tile:
    """Return the tile that the sums of `block` were defined with."""
    return Tile(*(int(size) for size in sch.get(block).annotations["dlas.tile"]))


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`.

    ``vectors`` of points are in registers; ``unroll`` is how many non-zeros one step takes.
    """
    tile = tile_of(sch, block)
    points = int(_inner(sch.get(block).body).writes[0].source.shape[2])
    fitting = [size for size in divisors(points // tile.lanes) if size <= cpu.vector_registers - 2]
    return {
        "vectors": rule_first(tile.vectors, [] if tile.pitch else fitting),
        "unroll": rule_first(4 if tile.vectors <= 4 else 1, [1, 2, 4, 8]),
    }


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice, load: Callable[[Tile], Load]) -> Any:
    """Replace the definition in `block` by tiles, run them and their epilogue in parallel; return the new block."""
    definition = _inner(sch.get(block).body)
    sums, inputs = definition.writes[0].source, [region.source for region in definition.reads]
    name = str(definition.name_hint)
    tile = tile_of(sch, block)
    if choice["vectors"] != tile.vectors:
        tile = replace(tile, vectors=choice["vectors"], points=choice["vectors"] * tile.lanes)
    _replace(sch, block, _nest(sums, inputs, load(tile), tile, choice["unroll"], name))
    block = sch.get_sblock(name)
    last = inline_rest(sch, sch.get_consumers(block)[0], block)
    n, t, o = sch.get_loops(block)
    tiles = prod(int(sch.get(loop).extent) for loop in (n, t))
    # Filters differ in work: each task takes every so many of them.
    tasks = min(int(sch.get(o).extent), -(-TASKS_PER_CORE * cpu.cores // tiles))
    oi, oo = sch.split(o, [None, tasks])
    sch.reorder(oo, oi)
    outer = sch.fuse(n, t, oo)
    sch.set_scope(block, 0, "local")
    sch.reverse_compute_at(last, oi)
    sch.parallel(outer)
    *_, points = sch.get_loops(last)
    if int(sch.get(points).extent) % tile.lanes == 0:
        vectorize_inner(sch, last, [points], tile.lanes)
    return block


def _replace(sch: Any, block: Any, nest: Any) -> None:
    root = sch.get(sch.get_sblock("root"))
    realized = sch.get(block)
    body = root.body.seq if isinstance(root.body, tirx.SeqStmt) else [root.body]
    replaced = [
        nest if isinstance(child, SBlockRealize) and child.block.same_as(realized) else child for child in body
    ]
    new = SBlock(
        root.iter_vars, root.reads, root.writes, root.name_hint, tirx.SeqStmt(replaced), root.init,
        root.alloc_buffers, root.match_buffers, root.annotations,
    )  # fmt: skip
    sch.state.replace(sch.get_sref(sch.get_sblock("root")), new, {root: new})
