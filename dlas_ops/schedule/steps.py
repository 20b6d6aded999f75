"""Schedule steps that the convolution algorithms share, on a function fused with its epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np

from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor import half
from dlas_ops.processor.dot import dot_of, tensorized
from dlas_ops.processor.half import PARTIAL
from dlas_ops.processor.targets import Cpu
from dlas_ops.schedule.tiling import Tile
from dlas_ops.schedule.tunables import Choice, Space, rule_first

BYTES = 4


def tile_of(sch: Schedule, block: SBlock) -> Tile:
    """Return the register tile that the computation of `block` was laid out for."""
    return Tile(*(int(size) for size in sch.get(block).annotations["dlas.tile"]))


# Weights that fill no more than this part of the L2 cache stay there while the input passes by.
WEIGHTS_OF_L2 = 0.4

# Copies of a tile's step that still fit the instruction cache.
MOST_UNROLLED = 16

# On a loop: how many KiB ahead each of its streams of weights is asked for; see `dlas_ops.passes.prefetching`.
AHEAD = "dlas.prefetch"

# The values that it may have, 0 being not at all. The rules choose that: how far ahead pays depends on how far away the
# memory beyond the L2 cache is, which a target does not say.
AHEAD_KIB = [0, 1, 2, 4, 8]

# The value that means: the block of weights after the one that a tile reads, a part of it in each tile that reads the
# same block, so that it comes from beyond the L2 cache while they are all computed and not while the first one waits.
BLOCK = "block"

# On a loop: vectors of a block of weights, and elements from one block to the next.
BLOCK_AHEAD = "dlas.prefetch_block"
# On the loop over tiles around it: how many of its iterations in turn read the same block.
TILES = "dlas.tiles"

# Fewer tiles of points than this leave cores idle at the end.
TILES_PER_CORE = 4


def extents(sch: Schedule, block: SBlock) -> list[int]:
    """Return the extents of the loops over `block`, outermost first."""
    return [int(sch.get(loop).extent) for loop in sch.get_loops(block)]


def partial_sums(sch: Schedule, block: SBlock) -> SBlock | None:
    """Return the block of the float16 sums that `block` adds to its float32 ones, if it does."""
    found = [other for other in sch.get_producers(block) if PARTIAL in sch.get(other).annotations]
    return found[-1] if found else None  # the first may set them to zero


def sources(sch: Schedule, block: SBlock) -> list[SBlock]:
    """Return the blocks that the products of `block` read."""
    return list(sch.get_producers(partial_sums(sch, block) or block))


def tiled_space(sch: Schedule, block: SBlock, spatial: Sequence[int], reduction: Sequence[int], cpu: Cpu) -> Space:
    """Return the tunables of `register_tiled` for loops over `block` of these extents.

    ``tile`` is (rows, columns, channel vectors) of sums in registers, which divide the points and vectors laid out;
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
    return {
        "tile": rule_first((tile.height, tile.width, tile.vectors), tiles),
        "outer": ["points", "channels"] if resident else ["channels", "points"],
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
) -> tuple[Loop, Loop | None]:
    """Tile `block` so that the sums of one tile stay in registers, and run its epilogue on the tile.

    Parameters
    ----------
    spatial : loops over image, channel vector, row, column and the channel in the vector
    reduction : loops of the reduction, outermost first
    choice : a value for each of `tiled_space`'s tunables
    value : the loop over the values that an instruction sums into one lane, if there is one

    Returns
    -------
    The parallel loop and, if it is one over tiles of points, the loop over channel vectors in it.
    """
    epilogue = Epilogue(sch, block)
    tile = Tile(*choice["tile"])
    points_outside = choice["outer"] == "points"
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
    innermost = unrolled(sch, inside, choice["unroll"])
    if choice["prefetch"] == BLOCK:
        sch.annotate(innermost, BLOCK_AHEAD, [tile.vectors, tile.vectors * _weights(sch, partial or block) // vectors])
        sch.annotate(*((oo, TILES, 1) if points_outside else (outer, TILES, rows * columns // tile.points)))
    else:
        fetch_ahead(sch, innermost, choice["prefetch"])
    return outer, oo if points_outside else None


def fetch_ahead(sch: Schedule, loop: Loop, kibibytes: int) -> None:
    """Mark `loop`, the innermost one that is not unrolled, to ask for what it will read `kibibytes` later, if any."""
    if kibibytes:
        sch.annotate(loop, AHEAD, kibibytes)


def unrollable(reduction: Sequence[int]) -> list[int]:
    """Return the numbers of steps of loops of these extents, innermost last, that are whole loops and a part of one."""
    found, inside = {1}, 1
    for extent in reversed(reduction):
        found |= {inside * part for part in divisors(extent)}
        inside *= extent
    # Of a fully unrolled reduction no loop would be left.
    return sorted(count for count in found if count <= MOST_UNROLLED and (count < inside or count == 1))


def unrolled(sch: Schedule, reduction: Sequence[Loop], steps: int) -> Loop:
    """Unroll so many steps of the loops, innermost last; return the innermost loop that is left."""
    for loop in reversed(reduction):
        extent = int(sch.get(loop).extent)
        if steps % extent:
            break
        if extent > 1 and loop is not reduction[0]:
            sch.unroll(loop)
        steps //= extent
    if steps == 1:
        return loop
    left, inner = sch.split(loop, [None, steps])
    sch.unroll(inner)
    return left


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

    Nothing can be moved to the block afterwards.
    """
    lanes = int(sch.get(lane).extent)
    if partial := partial_sums(sch, block):
        sch.tensorize(sch.get_loops(partial)[-2], half.multiplied(lanes))
        sch.tensorize(lane, half.widened(lanes))
    elif value:
        sch.tensorize(lane, tensorized(dot_of("int8", cpu), lanes))


def divisors(size: int) -> list[int]:
    """Return what divides `size`, ascending."""
    return [divisor for divisor in range(1, size + 1) if size % divisor == 0]


def parallel(sch: Schedule, loop: Loop, cpu: Cpu) -> None:
    """Run `loop` in parallel, unless all the iterations in it are less work than to wake the other cores."""
    if _iterations(sch, loop) >= cpu.least_parallel:
        sch.parallel(loop)


def _iterations(sch: Schedule, loop: Loop) -> int:
    """Return how many innermost iterations `loop` comes to, by the longest nest in it."""
    below = []
    for block in sch.get_child_blocks(loop):
        loops = [sch.get(inner) for inner in sch.get_loops(block)]
        depth = next(depth for depth, inner in enumerate(loops) if inner.same_as(sch.get(loop)))
        below.append(prod(int(inner.extent) for inner in loops[depth:]))
    return max(below, default=0)


def inline_rest(sch: Schedule, block: SBlock, source: SBlock | None) -> SBlock:
    """Inline `block`, which follows `source` if any, and every block after it into the last, and return the last.

    What else the last one reads, element-wise functions of other arguments, is inlined too.
    """
    while following := sch.get_consumers(block):
        sch.compute_inline(block)
        block = following[0]
    while others := [other for other in sch.get_producers(block) if source is None or not _same(sch, other, source)]:
        sch.compute_inline(others[0])
    return block


def _same(sch: Schedule, one: SBlock, other: SBlock) -> bool:
    return bool(sch.get(one).same_as(sch.get(other)))


class Epilogue:
    """What follows `block` element by element: its own copy out of the tile's sums and the operators fused to it.

    All is inlined into one block, unrolled over the tile. An operator too long for that stays a loop, and the tile's
    sums are first copied to memory, because a loop cannot index registers.
    """

    def __init__(self, sch: Schedule, block: SBlock) -> None:
        self.sch = sch
        output = sch.get_consumers(block)[0]
        followers = _chain(sch, output)
        self.looped = any("dlas.looped" in sch.get(follower).annotations for follower in followers)
        if self.looped:
            self.blocks = [output, inline_rest(sch, sch.get_consumers(output)[0], output)]
        else:
            self.blocks = [inline_rest(sch, output, block)]

    def place(self, loop: Loop) -> None:
        """Compute the epilogue of a tile at `loop`, as soon as the tile is summed."""
        for block in self.blocks:
            self.sch.reverse_compute_at(block, loop)
        if self.looped:
            self.sch.set_scope(self.blocks[0], 0, "local")

    def vectorize(self, depth: int, lanes: int) -> None:
        """Vectorise the loops below the `depth` outer ones."""
        for index, block in enumerate(self.blocks):
            vectorize_inner(self.sch, block, self.sch.get_loops(block)[depth:], lanes, unroll=index == 0)


def _chain(sch: Schedule, block: SBlock) -> list[SBlock]:
    """Return `block` and all that depends on it."""
    found = [block]
    for consumer in sch.get_consumers(block):
        found += _chain(sch, consumer)
    return found


def vectorize_inner(sch: Schedule, block: SBlock, loops: Sequence[Loop], lanes: int, unroll: bool = True) -> None:
    """Vectorise the innermost of `loops` by `lanes` and unroll the others."""
    if not loops:  # around a single number
        return
    *outer, inner = loops
    if int(sch.get(inner).extent) > lanes:
        split, inner = sch.split(inner, [None, lanes])
        outer.append(split)
    sch.vectorize(inner)
    for loop in outer if unroll else ():
        sch.unroll(loop)


def copy_stage(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    """Run `block` (border, im2col) as a parallel loop of its own, a vector of channels at a time."""
    parallel(sch, sch.fuse(*sch.get_loops(block)[:3]), cpu)
    vectorize_last(sch, block, cpu)


def vectorize_last(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    """Vectorise the innermost loop of `block`, channels, if it is whole vectors of them."""
    channels = sch.get_loops(block)[-1]
    if int(sch.get(channels).extent) % cpu.lanes() == 0:
        _, vector = sch.split(channels, [None, cpu.lanes()])
        sch.vectorize(vector)
