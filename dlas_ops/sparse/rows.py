"""CSR weights and a source of input vectors → sums of output rows, a tile of points at a time held in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.schedules import Epilogue, divisors, extents, parallel
from dlas_ops.sparse.csr import Csr
from dlas_ops.targets import Cpu
from dlas_ops.tunables import Choice, Space, rule_first

te, tirx = tvm.te, tvm.tirx
SBlock, SBlockRealize = tvm.s_tir.SBlock, tvm.s_tir.SBlockRealize
Load = Callable[[Any, Any, Any, Any], Any]

# Sums that hide the latency of a multiply-add: its 4 cycles, two of them a cycle.
INDEPENDENT_SUMS = 8


def sums_of(source: Any, weight: Csr, shape: Sequence[int], load: Load, name: str, lanes: int) -> Any:
    """Return the sums (image, filter, point) of CSR `weight` times `source`, to be scheduled by `schedule`.

    Parameters
    ----------
    load : (buffer of `source`, image, index, point) → the input that a non-zero with that index multiplies
    name : of the algorithm, which schedules
    """
    inputs = [source, *weight]
    buffers = [tirx.decl_buffer(tensor.shape, tensor.dtype, tensor.op.name) for tensor in inputs]
    return te.extern(
        tuple(shape),
        inputs,
        lambda ins, outs: _nest(outs[0], ins, load, lanes, 1, 1, name),
        name=name,
        dtype=[source.dtype],
        in_buffers=buffers,
        out_buffers=[tirx.decl_buffer(shape, source.dtype, name)],
        attrs={"dlas.schedule": f"{name}/csr"},
    )


def _nest(sums: Any, inputs: Sequence[Any], load: Load, lanes: int, vectors: int, unroll: int, name: str) -> Any:
    """Return loops over images, tiles of `vectors` vectors of points and filters, with the sums of one as a block."""
    images, filters, points = (int(size) for size in sums.shape)
    tile = vectors * lanes
    sizes = {"n": images, "t": points // tile, "o": filters}
    loops = [tirx.Var(name, "int32") for name in sizes]
    axes = [tirx.Var(f"v{name}", "int32") for name in sizes]
    n, t, o = axes
    region = [tvm.ir.Range.from_min_extent(begin, size) for begin, size in ((n, 1), (o, 1), (t * tile, tile))]
    block = SBlock(
        [
            tirx.IterVar(tvm.ir.Range(0, size), axis, tirx.IterVar.DataPar)
            for axis, size in zip(axes, sizes.values(), strict=True)
        ],
        [tirx.BufferRegion(buffer, [tvm.ir.Range(0, size) for size in buffer.shape]) for buffer in inputs],
        [tirx.BufferRegion(sums, region)],
        name,
        *_row(sums, inputs, load, (n, t * tile, o), (vectors, lanes), unroll),
    )
    statement = SBlockRealize(loops, True, block)
    for loop, size in reversed(list(zip(loops, sizes.values(), strict=True))):
        statement = tirx.For(loop, 0, size, tirx.ForKind.SERIAL, statement)
    return statement


def _row(
    sums: Any, inputs: Sequence[Any], load: Load, place: tuple[Any, Any, Any], tile: tuple[int, int], unroll: int
) -> tuple[Any, Any, list[Any]]:
    """Return the body, no init and the buffers of the block that sums one row over one tile.

    Successive non-zeros add to different sums where a tile alone has too few to hide the latency.
    """
    source, values, indices, pointers = inputs
    n, first, o = place
    vectors, lanes = tile
    parts = min(unroll, max(1, INDEPENDENT_SUMS // vectors))
    partial = tirx.decl_buffer((parts, vectors * lanes), sums.dtype, "partial", scope="local")
    begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")

    def over_tile(statement: Callable[[Any], Any]) -> Any:
        v, lane = tirx.Var("v", "int32"), tirx.Var("lane", "int32")
        inner = tirx.For(lane, 0, lanes, tirx.ForKind.VECTORIZED, statement(v * lanes + lane))
        return tirx.For(v, 0, vectors, tirx.ForKind.UNROLLED, inner)

    def over_parts(count: int, statement: Callable[[Any], Any]) -> Any:
        u = tirx.Var("u", "int32")
        return tirx.For(u, 0, count, tirx.ForKind.UNROLLED, statement(u))

    def nonzero(k: Any, part: Any) -> Any:
        def add(point: Any) -> Any:
            product = values[k] * load(source, n, indices[k].astype("int32"), first + point)
            return tirx.BufferStore(partial, partial[part, point] + product, [part, point])

        return over_tile(add)

    zero = tirx.const(0.0, sums.dtype)
    clear = over_parts(parts, lambda u: over_tile(lambda p: tirx.BufferStore(partial, zero, [u, p])))
    k, rest = tirx.Var("k", "int32"), tirx.Var("k", "int32")
    rounds = (end - begin) // unroll
    main = tirx.For(
        k, 0, rounds, tirx.ForKind.SERIAL, over_parts(unroll, lambda u: nonzero(begin + k * unroll + u, u % parts))
    )
    remaining = tirx.For(
        rest, 0, (end - begin) % unroll, tirx.ForKind.SERIAL, nonzero(begin + rounds * unroll + rest, 0)
    )

    def total(point: Any) -> Any:
        added = partial[0, point]
        for part in range(1, parts):
            added = added + partial[part, point]
        return tirx.BufferStore(sums, added, [n, o, first + point])

    body = [
        tirx.Bind(begin, pointers[o]),
        tirx.Bind(end, pointers[o + 1]),
        clear,
        main,
        *([remaining] if unroll > 1 else []),
        over_tile(total),
    ]
    return tirx.SeqStmt(body), None, [partial]


def _inner(statement: Any) -> Any:
    while not isinstance(statement, SBlockRealize):
        statement = statement.body
    return statement.block


def tunables(sch: Any, block: Any, cpu: Cpu) -> Space:
    """Return the choices of `schedule`.

    ``vectors`` of points are in registers; ``unroll`` is how many non-zeros one step takes; ``outer`` says what the
    parallel loop runs over: tiles of points or filters.
    """
    sums = _inner(sch.get(block).body).writes[0].source
    images, filters, points = (int(size) for size in sums.shape)
    count = points // min(cpu.lanes(), points)
    fitting = [size for size in divisors(count) if size <= cpu.vector_registers - 2]
    rule = max(fitting)
    return {"vectors": rule_first(rule, fitting), "unroll": rule_first(4 if rule <= 4 else 1, [1, 2, 4, 8])}


def schedule(sch: Any, block: Any, cpu: Cpu, choice: Choice, load: Load) -> Any:
    """Replace the definition in `block` by tiles, run them and their epilogue in parallel."""
    definition = _inner(sch.get(block).body)
    sums, inputs = definition.writes[0].source, [region.source for region in definition.reads]
    name = str(definition.name_hint)
    lanes = min(cpu.lanes(), int(sums.shape[2]))
    nest = _nest(sums, inputs, load, lanes, choice["vectors"], choice["unroll"], name)
    _replace(sch, block, nest)
    block = sch.get_sblock(name)
    epilogue = Epilogue(sch, block)
    n, t, o = sch.get_loops(block)
    oo, oi = sch.split(o, [None, 16])
    outer = sch.fuse(n, t, oo)
    sch.set_scope(block, 0, "local")
    epilogue.place(oi)
    sch.parallel(outer)
    epilogue.vectorize(2, lanes)
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
