"""Schedule steps that all kernels share, on a function fused with its epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.tiling import Tile

BYTES = 4


def tile_of(sch: Schedule, block: SBlock) -> Tile:
    """Return the register tile that the computation of `block` was laid out for."""
    return Tile(*(int(size) for size in sch.get(block).annotations["dlas.tile"]))


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


# On a block whose sums are matrices: how many groups one instruction adds, and whether rows of points are joined.
MATRIX = "dlas.matrix"
# On a loop of a tile of such sums: what it is; see `dlas_ops.passes.matrix_products`.
MATRIX_LOOP = "dlas.matrix_loop"


def extents(sch: Schedule, block: SBlock) -> list[int]:
    """Return the extents of the loops over `block`, outermost first."""
    return [int(sch.get(loop).extent) for loop in sch.get_loops(block)]


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
    _inline_others(sch, block, source)
    return block


def inline_epilogue(sch: Schedule, block: SBlock, source: SBlock) -> tuple[SBlock, SBlock | None]:
    """Inline `block`, which follows `source`, and every block after it into the last, and return the last.

    Where some of them make more of what they read, as a gate is multiplied with a whole map, what comes before is
    computed once: the first block returned has that, the second one the rest.
    """
    last = _last_once(sch, block)
    while not _same(sch, block, last):
        following = sch.get_consumers(block)
        sch.compute_inline(block)
        block = following[0]
    _inline_others(sch, block, source)
    more = sch.get_consumers(block)
    return block, inline_rest(sch, more[0], block) if more else None


def _last_once(sch: Schedule, block: SBlock) -> SBlock:
    """Return the last of `block` and those after it before they make more of what they read.

    That is `block` itself where what makes more reads several of them, as one that gates a map and shifts it.
    """
    once = _once(sch, block)
    more = [each for each in once if any(_makes_more(sch, block, after) for after in sch.get_consumers(each))]
    ends = more or [each for each in once if not sch.get_consumers(each)]
    return ends[0] if all(_same(sch, each, ends[0]) for each in ends) else block


def _chain(sch: Schedule, block: SBlock) -> list[SBlock]:
    """Return `block` and all that depends on it."""
    found = [block]
    for consumer in sch.get_consumers(block):
        found += _chain(sch, consumer)
    return found


def _once(sch: Schedule, block: SBlock) -> list[SBlock]:
    """Return `block` and all that depends on it and has no more points."""
    return [each for each in _chain(sch, block) if not _makes_more(sch, block, each)]


def _makes_more(sch: Schedule, block: SBlock, other: SBlock) -> bool:
    return prod(extents(sch, other)) > prod(extents(sch, block))


def _inline_others(sch: Schedule, block: SBlock, source: SBlock | None) -> None:
    """Inline what `block` reads and computes of other arguments than `source`."""
    while others := [other for other in sch.get_producers(block) if source is None or not _same(sch, other, source)]:
        sch.compute_inline(others[0])


def _same(sch: Schedule, one: SBlock, other: SBlock) -> bool:
    return bool(sch.get(one).same_as(sch.get(other)))


class Epilogue:
    """The epilogue of `block`, element by element: its own copy out of the tile's sums and the operators fused to it.

    All is inlined into one block, unrolled over the tile. Where an operator is too long for that, they stay a loop;
    the tile's sums are first copied to memory, because a loop cannot index registers. What makes more of the sums, as
    a gate does for a whole map, follows when all is summed, for few cores sum what many points are multiplied by: it is
    the `rest`, which the caller schedules.
    """

    def __init__(self, sch: Schedule, block: SBlock) -> None:
        self.sch = sch
        output = sch.get_consumers(block)[0]
        alone = _same(sch, output, _last_once(sch, output))
        self.looped = not alone and any("dlas.looped" in sch.get(each).annotations for each in _once(sch, output))
        first, source = (sch.get_consumers(output)[0], output) if self.looped else (output, block)
        last, self.rest = inline_epilogue(sch, first, source)
        self.blocks = [output, last] if self.looped else [last]

    @classmethod
    def copy(cls, sch: Schedule, block: SBlock) -> Epilogue:
        """Return the copy of the sums of `block` to memory, after which the caller schedules what reads them."""
        epilogue = cls.__new__(cls)
        epilogue.sch, epilogue.looped, epilogue.blocks = sch, False, [sch.cache_write(block, 0, "local")]
        epilogue.rest = None
        return epilogue

    @classmethod
    def apart(cls, sch: Schedule, block: SBlock) -> Epilogue:
        """Return the copy of the sums of `block` to memory; all that follows is the `rest`."""
        epilogue = cls.copy(sch, block)
        [sums] = epilogue.blocks
        epilogue.rest = inline_rest(sch, sch.get_consumers(sums)[0], sums)
        return epilogue

    def place(self, loop: Loop) -> None:
        """Compute the epilogue of a tile at `loop`, as soon as the tile is summed."""
        for block in self.blocks:
            self.sch.reverse_compute_at(block, loop)
        if self.looped:
            self.sch.set_scope(self.blocks[0], 0, "local")

    def vectorize(self, depth: int, lanes: int, unroll: bool = True) -> None:
        """Vectorise the loops below the `depth` outer ones; `unroll` those of the tile, whose sums are in registers."""
        for index, block in enumerate(self.blocks):
            inside = self.sch.get_loops(block)[depth:]
            vectorize_inner(self.sch, block, inside, lanes, unroll=unroll and index == 0)


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


def map_stage(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    """Run `block`, element by element after all sums, as a parallel loop of its own."""
    parallel(sch, sch.fuse(*sch.get_loops(block)[:-1]), cpu)
    vectorize_last(sch, block, cpu)


def vectorize_last(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    """Vectorise the innermost loop of `block`, channels, if it is whole vectors of them."""
    channels = sch.get_loops(block)[-1]
    if int(sch.get(channels).extent) % cpu.lanes() == 0:
        _, vector = sch.split(channels, [None, cpu.lanes()])
        sch.vectorize(vector)
