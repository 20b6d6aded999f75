"""Schedule steps that the convolution algorithms share, on a function fused with its epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from dlas_ops.targets import Cpu
from dlas_ops.tiling import Tile

BYTES = 4


def tile_of(sch: Any, block: Any) -> Tile:
    """Return the register tile that the computation of `block` was laid out for."""
    return Tile(*(int(size) for size in sch.get(block).annotations["dlas.tile"]))


# Weights that fill no more than this part of the L2 cache stay there while the input passes by.
WEIGHTS_OF_L2 = 0.4


def register_tiled(
    sch: Any, block: Any, spatial: Sequence[Any], reduction: Sequence[Any], cpu: Cpu
) -> tuple[Any, Any | None]:
    """Tile `block` so that the sums of one tile stay in registers, and run its epilogue on the tile.

    Weights that fit the L2 cache are read anew for every tile of points, so that the input is read once; larger
    weights are read once, a few output channels at a time, and the (then small) input anew.

    Parameters
    ----------
    spatial : loops over image, channel vector, row, column and the channel in the vector
    reduction : loops of the reduction, outermost first

    Returns
    -------
    The parallel loop and, if it is one over tiles of points, the loop over channel vectors in it.
    """
    last = inline_epilogue(sch, block)
    tile = tile_of(sch, block)
    extents = [int(sch.get(loop).extent) for loop in (spatial[1], spatial[4], *reduction)]
    resident = prod(extents) * BYTES <= WEIGHTS_OF_L2 * cpu.l2_bytes
    n, o, h, w, v = spatial
    oo, oi = sch.split(o, [None, tile.vectors])
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    # Points outside channel vectors: the broadcast of one point is then the only one that needs a register.
    order = (n, ho, wo, oo) if resident else (n, oo, ho, wo)
    sch.reorder(*order, *reduction, hi, wi, oi, v)
    parallel = sch.fuse(*order[:3]) if resident else sch.fuse(*order)
    sch.reverse_compute_at(last, oo if resident else parallel)
    sch.set_scope(block, 0, "local")
    sch.parallel(parallel)
    sch.vectorize(v)
    for loop in (oi, hi, wi):
        sch.unroll(loop)
    depth, lanes = 2 if resident else 1, extents[1]
    vectorize_inner(sch, last, sch.get_loops(last)[depth:], lanes)
    first = sch.decompose_reduction(block, reduction[0])
    vectorize_inner(sch, first, sch.get_loops(first)[depth:], lanes)
    return parallel, oo if resident else None


def inline_epilogue(sch: Any, block: Any) -> Any:
    """Inline every block after `block` but the last, and return the last."""
    consumers = sch.get_consumers(block)
    while following := sch.get_consumers(consumers[0]):
        sch.compute_inline(consumers[0])
        consumers = following
    return consumers[0]


def vectorize_inner(sch: Any, block: Any, loops: Sequence[Any], lanes: int) -> None:
    """Vectorise the innermost of `loops` by `lanes` and unroll the others."""
    *outer, inner = loops
    if int(sch.get(inner).extent) > lanes:
        split, inner = sch.split(inner, [None, lanes])
        outer.append(split)
    sch.vectorize(inner)
    for loop in outer:
        sch.unroll(loop)


def copy_stage(sch: Any, block: Any, cpu: Cpu) -> None:
    """Run `block` (border, im2col) as a parallel loop of its own, a vector of channels at a time."""
    sch.parallel(sch.fuse(*sch.get_loops(block)[:3]))
    vectorize_last(sch, block, cpu)


def vectorize_last(sch: Any, block: Any, cpu: Cpu) -> None:
    """Vectorise the innermost loop of `block`, channels, if it is whole vectors of them."""
    channels = sch.get_loops(block)[-1]
    if int(sch.get(channels).extent) % cpu.lanes() == 0:
        _, vector = sch.split(channels, [None, cpu.lanes()])
        sch.vectorize(vector)
