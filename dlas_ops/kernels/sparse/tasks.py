"""The definition of sparse sums → tasks in parallel, each a tile of points for some filters, with their epilogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import gcd

from dlas_ops._tvm import tvm
from dlas_ops._types import Block, Loop, SBlock, Schedule, Stmt
from dlas_ops.kernels.sparse.row_sums import INDEPENDENT_SUMS, TASKS_PER_CORE, Load, Shifts, Tile, nest
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.steps import divisors, inline_epilogue, map_stage, parallel, vectorize_inner
from dlas_ops.schedule.tunables import Choice, Space, rule_first

tirx, s_tir = tvm.tirx, tvm.s_tir

# On a block that repacks the input: of how many points its innermost axis' stretches are, and a row of the output.
STRETCH = "dlas.stretch"


def tile_of(sch: Schedule, block: SBlock) -> Tile:
    """Return the tile that the sums of `block` were defined with."""
    return Tile(*(int(size) for size in sch.get(block).annotations["dlas.tile"]))


def tunables(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    """Return the choices of `schedule`.

    ``vectors`` of points are in registers; ``filters`` of a tile are summed, and then followed by their epilogue, at a
    time; ``unroll`` is how many non-zeros one step takes.
    """
    tile = tile_of(sch, block)
    _, filters, points = (int(size) for size in _definition(sch, block).writes[0].source.shape)
    fitting = [size for size in divisors(points // tile.lanes) if size <= cpu.vector_registers - 2]
    fixed = tile.packed or shifts_of(sch, block)
    return {
        "vectors": rule_first(tile.vectors, [] if fixed else fitting),
        "filters": rule_first(tile.filters, divisors(filters)),
        "unroll": rule_first(1 if tile.vectors >= INDEPENDENT_SUMS else 2, [1, 2, 4, 8]),
    }


def shifts_of(sch: Schedule, block: SBlock) -> Shifts:
    """Return the shifts that the sums of `block` were defined with."""
    lanes, points = sch.get(block).annotations.get("dlas.shifts", []), tile_of(sch, block).points
    return [[int(lane) for lane in lanes[start : start + points]] for start in range(0, len(lanes), points)]


def tiled(sch: Schedule, block: SBlock, choice: Choice, load: Callable[[Tile], Load]) -> SBlock:
    """Put loops over tasks in the place of the definition in `block`; return the new block, which sums one task."""
    definition = _definition(sch, block)
    sums, inputs = definition.writes[0].source, [region.source for region in definition.reads]
    name, shifts = str(definition.name_hint), shifts_of(sch, block)
    tile = replace(tile_of(sch, block), filters=choice["filters"])
    if choice["vectors"] != tile.vectors:
        tile = replace(tile, vectors=choice["vectors"], points=choice["vectors"] * tile.lanes)
    _replace(sch, block, nest(sums, inputs, load(tile), tile, choice["unroll"], name, shifts))
    return sch.get_sblock(name)


def schedule(sch: Schedule, block: SBlock, lanes: int, cpu: Cpu) -> Loop | None:
    """Run the tasks of `block` and their epilogue in parallel.

    Parameters
    ----------
    lanes : of the tiles that the tasks sum

    Returns
    -------
    The loop over tiles, if one task takes all filters of a tile.
    """
    values, sums = sch.get(block).reads[1].source, sch.get(block).writes[0].source
    last, rest = inline_epilogue(sch, sch.get_consumers(block)[0], block)
    n, t, f = sch.get_loops(block)
    tiles = int(sch.get(n).extent) * int(sch.get(t).extent)
    alone = int(sch.get(f).extent) == 1 or tiles % cpu.cores == 0 or tiles >= TASKS_PER_CORE * cpu.cores
    outer = sch.fuse(n, t) if alone else sch.fuse(n, t, f)
    sch.set_scope(block, 0, "local")
    sch.reverse_compute_at(last, f if alone else outer, preserve_unit_loops=True)
    if int(values.shape[0]) * int(sums.shape[2]) >= cpu.least_parallel:
        sch.parallel(outer)
    *_, points = sch.get_loops(last)
    if int(sch.get(points).extent) % lanes == 0:
        vectorize_inner(sch, last, [points], lanes)
    if rest is not None:
        map_stage(sch, rest, cpu)
    return outer if alone else None


def schedule_copies(sch: Schedule, block: SBlock, task: Loop | None, cpu: Cpu) -> None:
    """Run the repacking `block`, whose innermost axis is stretches of rows, and the border it reads from.

    Within its `task`, what is repacked for a tile comes and goes in the cache.
    """
    _copy_borders(sch, block, cpu)
    if task is not None:
        sch.compute_at(block, task, preserve_unit_loops=True)
    outer = sch.get_loops(block)[:-1]
    stretches = copy_stretches(sch, block, cpu)
    if task is None:
        parallel(sch, sch.fuse(*outer, stretches), cpu)


def copy_stretches(sch: Schedule, block: SBlock, cpu: Cpu) -> Loop:
    """Copy the innermost axis of `block` by whole vectors of a row, where stretches are whole rows.

    Returns
    -------
    The loop over stretches.
    """
    stretch, width = (int(size) for size in sch.get(block).annotations[STRETCH])
    place = sch.get_loops(block)[-1]
    if stretch % width:
        return sch.split(place, [None, stretch])[0]
    lanes = gcd(width, cpu.lanes())
    stretches, _, _, vector = sch.split(place, [None, stretch // width, width // lanes, lanes])
    sch.vectorize(vector)
    return stretches


def _copy_borders(sch: Schedule, block: SBlock, cpu: Cpu) -> list[SBlock]:
    """Run what `block` repacks, which has a border, if any, in parallel; return its block."""
    borders = list(sch.get_producers(block))
    for border in borders:
        n, c, h, _ = sch.get_loops(border)
        parallel(sch, sch.fuse(n, c, h), cpu)
    return borders


def open_copies(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    """Copy what is repacked for `block`, and its border, as in a schedule, and keep MetaSchedule from the border.

    Its rules inline that, and what is repacked then asks of every point whether it is of the border: without vectors
    a 3x3 layer takes seven times as long.
    """
    for copy in _copies(sch, block):
        for border in _copy_borders(sch, copy, cpu):
            sch.annotate(border, "schedule_rule", "None")
    copy_all_stretches(sch, block, cpu)


def copy_all_stretches(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    """Copy what is repacked for `block` by stretches, unless it is already."""
    for copy in _copies(sch, block):
        stretch, _ = sch.get(copy).annotations[STRETCH]
        innermost = sch.get(sch.get_loops(copy)[-1])
        if innermost.kind == tirx.ForKind.SERIAL and int(innermost.extent) > int(stretch):
            copy_stretches(sch, copy, cpu)


def _copies(sch: Schedule, block: SBlock) -> list[SBlock]:
    return [copy for copy in sch.get_producers(block) if STRETCH in sch.get(copy).annotations]


def unwrap(sch: Schedule, block: SBlock) -> None:
    """Put the loops that are all that `block`, a child of the root block, holds in its place."""
    _replace(sch, block, sch.get(block).body)


def _definition(sch: Schedule, block: SBlock) -> Block:
    """Return the block in `block` that sums one tile."""
    statement = sch.get(block).body
    while not isinstance(statement, s_tir.SBlockRealize):
        statement = statement.body
    return statement.block


def _replace(sch: Schedule, block: SBlock, loops: Stmt) -> None:
    """Put `loops` in the place of `block`, a child of the root block."""
    root = sch.get(sch.get_sblock("root"))
    realized = sch.get(block)
    body = root.body.seq if isinstance(root.body, tirx.SeqStmt) else [root.body]
    replaced = [
        loops if isinstance(child, s_tir.SBlockRealize) and child.block.same_as(realized) else child for child in body
    ]
    new = s_tir.SBlock(
        root.iter_vars, root.reads, root.writes, root.name_hint, tirx.SeqStmt(replaced), root.init,
        root.alloc_buffers, root.match_buffers, root.annotations,
    )  # fmt: skip
    sch.state.replace(sch.get_sref(sch.get_sblock("root")), new, {root: new})
