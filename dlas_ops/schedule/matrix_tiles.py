"""Sums of a convolution → the same, a tile of them in registers of matrices: loops marked for what replaces them."""

from __future__ import annotations

from collections.abc import Sequence

from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.matrix_tiling import MatrixTile, matrix_tiles
from dlas_ops.schedule.steps import MATRIX, MATRIX_LOOP, Epilogue, divisors, parallel, tile_of
from dlas_ops.schedule.tunables import rule_first

# Roles of the loops of a tile, outermost first; `dlas_ops.passes.matrix_products` replaces them.
ROLES = ROWS, COLUMNS, VECTORS, LANES, GROUPS, VALUES = "rows", "columns", "vectors", "lanes", "groups", "values"

# The loop that sets the sums to zero, and the outermost one of the reduction.
ZERO, SUMS = "zero", "sums"

# A value of the tunable ``tile``: rows, columns, channel vectors, and the groups that one instruction adds.
MatrixChoice = tuple[int, int, int, int]


def rule_of(sch: Schedule, block: SBlock) -> MatrixTile | None:
    """Return the tile of matrices that the computation of `block` was laid out for, or None."""
    held = sch.get(block).annotations.get(MATRIX)
    if held is None:
        return None
    tile, (groups, joined) = tile_of(sch, block), (int(number) for number in held)
    return MatrixTile(tile.height, tile.width, tile.vectors, groups, bool(joined))


def matrix_choices(rule: MatrixTile, rows: int, columns: int, vectors: int) -> list[MatrixChoice]:
    """Return the tiles that divide so many rows, columns and channel vectors, that of the rule first."""
    chosen = [
        (tile.height, tile.width, tile.vectors, tile.groups)
        for tile in matrix_tiles(rows, columns, vectors, rule.groups, rule.joined)
        if rows % tile.height == 0 and columns % tile.width == 0
    ]
    return rule_first((rule.height, rule.width, rule.vectors, rule.groups), chosen)


def is_of_matrices(tile: Sequence[int]) -> bool:
    """Tell whether a value of the tunable ``tile`` is a `MatrixChoice`."""
    return len(tile) == 4


def is_marked(sch: Schedule, loop: Loop) -> bool:
    """Tell whether `matrix_tiled` has made `loop` one of a tile."""
    return MATRIX_LOOP in sch.get(loop).annotations


def matrix_tiled(
    sch: Schedule,
    block: SBlock,
    spatial: Sequence[Loop],
    reduction: Sequence[Loop],
    value: Loop,
    cpu: Cpu,
    tile: MatrixChoice,
    points_outside: bool,
    epilogue: Epilogue,
) -> tuple[Loop, Loop | None]:
    """Tile `block` so that the sums of a tile stay in registers of matrices; else as `register_tiles.register_tiled`.

    Several tiles run one after the other in each iteration of the parallel loop where the cores have the same work
    then: to begin with matrices and to end with them takes time.
    """
    height, width, vectors, groups = tile
    n, o, h, w, v = spatial
    oo, oi = sch.split(o, [None, vectors])
    ho, hi = sch.split(h, [None, height])
    wo, wi = sch.split(w, [None, width])
    ko, ki = sch.split(reduction[-1], [None, groups])
    order = (n, ho, wo, oo) if points_outside else (n, oo, ho, wo)
    steps = [*reduction[:-1], ko]
    sch.reorder(*order, *steps, hi, wi, oi, v, ki, value)
    if points_outside:
        outer, inner = sch.fuse(*order[:3]), oo
    else:
        outer = sch.fuse(*order)
        outer, inner = sch.split(outer, [None, _chunk(int(sch.get(outer).extent), cpu)])
    sch.set_scope(block, 0, "local")
    epilogue.place(inner)
    parallel(sch, outer, cpu)
    depth = 2
    epilogue.vectorize(depth, int(sch.get(v).extent), unroll=False)
    first = sch.decompose_reduction(block, steps[0])
    roles = [(sch.get_loops(first)[depth], ZERO), (steps[0], SUMS)]
    for loop, role in [*roles, *zip((hi, wi, oi, v, ki, value), ROLES, strict=True)]:
        sch.annotate(loop, MATRIX_LOOP, role)
    return outer, oo if points_outside else None


def _chunk(tiles: int, cpu: Cpu) -> int:
    """Return how many of so many tiles run one after the other without more work for the core that has the most."""
    least = -(-tiles // cpu.cores)
    return max(size for size in divisors(tiles) if -(-(tiles // size) // cpu.cores) * size <= least)
