"""Schedule steps that the convolution algorithms share, on a function fused with its epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlas_ops.targets import Cpu
from dlas_ops.tiling import Tile


def tile_of(sch: Any, block: Any) -> Tile:
    """Return the register tile that the computation of `block` was laid out for."""
    return Tile(*(int(size) for size in sch.get(block).annotations["dlas.tile"]))


def register_tiled(sch: Any, block: Any, spatial: Sequence[Any], reduction: Sequence[Any], tile: Tile) -> None:
    """Tile `block` so that the sums of one tile stay in registers, and run its epilogue on the tile.

    Parameters
    ----------
    spatial : loops over image, channel vector, row, column and the channel in the vector
    reduction : loops of the reduction, outermost first
    """
    last = inline_epilogue(sch, block)
    lanes = int(sch.get(spatial[-1]).extent)
    n, o, h, w, v = spatial
    oo, oi = sch.split(o, [None, tile.vectors])
    ho, hi = sch.split(h, [None, tile.height])
    wo, wi = sch.split(w, [None, tile.width])
    sch.reorder(n, oo, ho, wo, *reduction, hi, wi, oi, v)
    tiles = sch.fuse(n, oo, ho, wo)
    sch.reverse_compute_at(last, tiles)
    sch.set_scope(block, 0, "local")
    sch.parallel(tiles)
    sch.vectorize(v)
    for loop in (oi, hi, wi):
        sch.unroll(loop)
    vectorize_inner(sch, last, sch.get_loops(last)[1:], lanes)
    first = sch.decompose_reduction(block, reduction[0])
    vectorize_inner(sch, first, sch.get_loops(first)[1:], lanes)


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


def copy_stages(sch: Any, block: Any, cpu: Cpu) -> None:
    """Run every producer of `block` (border, im2col) as its own parallel loop, a vector of channels at a time."""
    for producer in sch.get_producers(block):
        *outer, channels = sch.get_loops(producer)
        sch.parallel(sch.fuse(*outer[:3]))
        extent = int(sch.get(channels).extent)
        if extent % cpu.lanes() == 0:
            _, vector = sch.split(channels, [None, cpu.lanes()])
            sch.vectorize(vector)
