"""Sums of a convolution → the same, a tile of them in registers: what algorithms on blocks of channels share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np

from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor import half
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import dot_over, tensorized
from dlas_ops.processor.half import PARTIAL
from dlas_ops.schedule.matrix_tiles import is_marked, is_of_matrices, matrix_choices, matrix_tiled, rule_of
from dlas_ops.schedule.steps import (
    AHEAD_KIB,
    BLOCK,
    BLOCK_AHEAD,
    TILES,
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
from dlas_ops.schedule.tiling import Tile
from dlas_ops.schedule.tunables import Choice, Space, rule_first

# Weights that fill no more than this part of the L2 cache stay there while the input passes by.
WEIGHTS_OF_L2 = 0.4

# Fewer tiles of points than this leave cores idle at the end.
TILES_PER_CORE = 4


def partial_sums(sch: Schedule, block: SBlock) -> SBlock | None:
    """Return the block of the float16 sums that `block` adds to its float32 ones, if it does."""
    found = [other for other in sch.get_producers(block) if PARTIAL in sch.get(other).annotations]
    return found[-1] if found else None  # the first may set them to zero


def sources(sch: Schedule, block: SBlock) -> list[SBlock]:
    """Return the blocks that the products of `block` read."""
    return list(sch.get_producers(partial_sums(sch, block) or block))


def tiled_space(sch: Schedule, block: SBlock, spatial: Sequence[int], reduction: Sequence[int], cpu: Cpu) -> Space:
    """Return the tunables of `register_tiled` for loops over `block` of these extents.

    ``tile`` is (rows, columns, channel vectors) of sums in registers, which divide the points and vectors laid out; a
    fourth number says that the sums are matrices (see `matrix_tiles`). Where these are the rule, there are no more
    tunables than ``outer`` beside it, for they are the only ones that matrices have;
    ``outer`` says what the parallel loop runs over and hence what is read once: points (the input) or channels
    (the weights); ``unroll`` is how many steps of the reduction are unrolled; ``prefetch`` is how many KiB ahead the
    weights are asked for, or `BLOCK`.
    """
    tile, partial = tile_of(sch, block), partial_sums(sch, block)
    if partial is not None:
        reduction = extents(sch, partial)[-len(reduction) :]
    images, vectors, rows, columns, _ = spatial
    tiles = [
        (h, w, v)
        for h, w, v in product(divisors(rows), divisors(columns), divisors(vectors))
        if h * w * v > 1 and Tile(h, w, v).registers <= cpu.tile_registers
    ]
    # Weights that fit the L2 cache are read anew for every tile of points, so that the input is read once. Larger ones,
    # and those of a map of few tiles, are read once, a few output channels at a time, and the input anew.
    fit = weight_bytes(sch, partial or block) <= WEIGHTS_OF_L2 * cpu.l2_bytes
    resident = fit and images * rows * columns // tile.points >= TILES_PER_CORE * cpu.cores
    own = (tile.height, tile.width, tile.vectors)
    matrices = rule_of(sch, block)
    outer = ["points", "channels"] if resident else ["channels", "points"]
    if matrices:
        return {"tile": [*matrix_choices(matrices, rows, columns, vectors), *tiles], "outer": outer}
    return {
        "tile": rule_first(own, tiles),
        "outer": outer,
        "unroll": unrollable(reduction),
        "prefetch": [*AHEAD_KIB, BLOCK],
    }


def weight_bytes(sch: Schedule, block: SBlock) -> int:
    """Return the size of the weights that `block` reads."""
    return _weights(sch, block) * np.dtype(str(sch.get(block).reads[-1].source.dtype)).itemsize


def _weights(sch: Schedule, block: SBlock) -> int:
    """Return the number of weights, which `block` reads last."""
    return prod(int(size) for size in sch.get(block).reads[-1].source.shape)


def register_tiled(
    sch: Schedule,
    block: SBlock,
    spatial: Sequence[Loop],
    reduction: Sequence[Loop],
    cpu: Cpu,
    choice: Choice,
    value: Sequence[Loop] = (),
    epilogue: Epilogue | None = None,
) -> tuple[Loop, Loop | None]:
    """Tile `block` so that the sums of one tile stay in registers, and run its epilogue on the tile.

    Parameters
    ----------
    spatial : loops over image, channel vector, row, column and the channel in the vector
    reduction : loops of the reduction, outermost first
    choice : a value for each of `tiled_space`'s tunables
    value : the loop over the values that an instruction sums into one lane, if there is one
    epilogue : what runs on a tile; by default all that follows `block`

    Returns
    -------
    The parallel loop and, if it is one over tiles of points, the loop over channel vectors in it.
    """
    epilogue = epilogue or Epilogue(sch, block)
    points_outside = choice["outer"] == "points"
    if is_of_matrices(choice["tile"]):
        tile = choice["tile"]
        loops = matrix_tiled(sch, block, spatial, reduction, value[0], cpu, tile, points_outside, epilogue)
    else:
        loops = _vector_tiled(sch, block, spatial, reduction, cpu, choice, value, epilogue)
    if epilogue.rest is not None:
        map_stage(sch, epilogue.rest, cpu)
    return loops


def _vector_tiled(
    sch: Schedule,
    block: SBlock,
    spatial: Sequence[Loop],
    reduction: Sequence[Loop],
    cpu: Cpu,
    choice: Choice,
    value: Sequence[Loop],
    epilogue: Epilogue,
) -> tuple[Loop, Loop | None]:
    """Tile `block` so that the sums of a tile stay in vector registers; see `register_tiled`."""
    points_outside = choice["outer"] == "points"
    tile = Tile(*choice["tile"])
    n, o, h, w, v = spatial
    vectors, rows, columns, lanes = (int(sch.get(loop).extent) for loop in (o, h, w, v))
    oo, oi = sch.split(o, [None, tile.vectors])
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    # Points outside channel vectors: the broadcast of one point is then the only one that needs a register.
    order = (n, ho, wo, oo) if points_outside else (n, oo, ho, wo)
    sch.reorder(*order, *reduction, hi, wi, oi, v, *value)
    outer = sch.fuse(*order[:3]) if points_outside else sch.fuse(*order)
    sch.set_scope(block, 0, "local")
    epilogue.place(oo if points_outside else outer)
    partial = partial_sums(sch, block)
    if partial is None and not value:
        sch.vectorize(v)
    inside = reduction if partial is None else _place_partial(sch, partial, reduction, lanes)
    parallel(sch, outer, cpu)
    for loop in (oi, hi, wi):
        sch.unroll(loop)
    depth = 2 if points_outside else 1
    epilogue.vectorize(depth, lanes)
    first = sch.decompose_reduction(block, reduction[0])
    vectorize_inner(sch, first, sch.get_loops(first)[depth:], lanes)
    if partial is not None:
        _zero_partial(sch, partial, inside[0])
    innermost = unrolled(sch, inside, choice.get("unroll", 1))
    ahead = choice.get("prefetch", AHEAD_KIB[0])
    if ahead == BLOCK:
        sch.annotate(innermost, BLOCK_AHEAD, [tile.vectors, tile.vectors * _weights(sch, partial or block) // vectors])
        sch.annotate(*((oo, TILES, 1) if points_outside else (outer, TILES, rows * columns // tile.points)))
    else:
        fetch_ahead(sch, innermost, ahead)
    return outer, oo if points_outside else None


def _place_partial(sch: Schedule, partial: SBlock, reduction: Sequence[Loop], lanes: int) -> list[Loop]:
    """Sum a tile of `partial` in float16 for each step of the float32 `reduction`; return the loops of that sum."""
    depth = len(sch.get_loops(partial)) - len(reduction)
    sch.compute_at(partial, reduction[-1], preserve_unit_loops=True)
    loops = sch.get_loops(partial)
    *tile, v, value = loops[-depth : -len(reduction)]
    inside = loops[-len(reduction) :]
    vectors, v = sch.split(v, [None, lanes])
    images, blocks, h, w = tile[-4:]
    sch.reorder(*inside, images, h, w, blocks, vectors, v, value)
    sch.set_scope(partial, 0, "local")
    for loop in (images, h, w, blocks, vectors):
        sch.unroll(loop)
    return list(inside)


def _zero_partial(sch: Schedule, partial: SBlock, inside: Loop) -> None:
    """Set the sums of `partial` to zero before the loop `inside`, in whole vectors."""
    first = sch.decompose_reduction(partial, inside)
    *_, v, value = sch.get_loops(first)
    *tile, _, _ = sch.get_loops(first)[-7:]
    for loop in tile:
        sch.unroll(loop)
    sch.vectorize(sch.fuse(v, value))


def sum_values(sch: Schedule, block: SBlock, lane: Loop, value: Sequence[Loop], cpu: Cpu) -> None:
    """Replace the loops over `lane` and the `value` in it, if there is one, by the processor's instruction.

    Loops of matrices are replaced when the program is lowered.

    Nothing can be moved to the block afterwards.
    """
    if is_marked(sch, lane):
        return
    lanes = int(sch.get(lane).extent)
    if partial := partial_sums(sch, block):
        sch.tensorize(sch.get_loops(partial)[-2], half.multiplied(lanes))
        sch.tensorize(lane, half.widened(lanes))
    elif value:
        data = str(sch.get(block).reads[-2].source.dtype)
        sch.tensorize(lane, tensorized(dot_over(data, cpu), lanes))
