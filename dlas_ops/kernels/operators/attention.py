"""Queries, keys and values → scaled dot-product attention, a block of queries at a time: no score leaves the caches.

A block is whole vectors of queries: each lane of a vector is one query, so that a softmax, over keys, needs no sum over
lanes, and neither keys nor values are packed. All scores of a block lie in the L2 cache, and often in the L1 cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, prod

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Loop, SBlock, Schedule, Tensor
from dlas_ops.kernels.operators import product
from dlas_ops.kernels.operators.batched import at, broadcast
from dlas_ops.kernels.shared.blocks import annotation
from dlas_ops.passes.vector_math import exp_of_negative
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.steps import BYTES, extents, inline_rest, parallel, vectorize_inner, vectorize_last
from dlas_ops.schedule.tiling import cycles, register_tile
from dlas_ops.schedule.tunables import Choice

te, tirx = tvm.te, tvm.tirx

TILE = "dlas.tile"

# The schedule, on the block of the products with the values.
KIND = "attention"
# Copies of all keys and values, where to read them takes more than a load.
KEYS, VALUES = "keys", "values"
# What follows the products with the values.
FINISHED = "finished"
# What is computed for each block of queries, in this order; operators between are inlined.
QUERIES, PRODUCTS, SCORES, GREATEST, WEIGHTS, TOTAL, FACTOR, SHARES = STEPS = (
    "queries", "products", "scores", "greatest", "weights", "total", "factor", "shares",
)  # fmt: skip

# Most vectors of queries in a block, and most bytes of a step's results that lie on the stack.
MOST_VECTORS, MOST_STACK = 4, 1 << 14
# Scores of a block that are held at once, in several steps; they fill half of the L2 cache at most.
BUFFERS = 2

# A product of a query and a key, and its index (leading axes, query, key) → what the softmax reads.
Between = Callable[[Expr, Sequence[Expr]], Expr]


def compute(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cpu: Cpu,
    between: Between = lambda product, _: product,
    after: Callable[[Expr], Expr] | None = None,
) -> Tensor:
    """Return `after`(softmax(`between`(`query` times `key`))) times `value`, in float32; the softmax is over keys.

    Parameters
    ----------
    query, key, value : (…, queries, depth), (…, depth, keys) and (…, keys, outputs); their leading axes broadcast
    """
    shapes = [[int(size) for size in tensor.shape] for tensor in (query, key, value)]
    leading = [shape[:-2] for shape in shapes]
    batch = broadcast(broadcast(leading[0], leading[1]), leading[2])
    images, (queries, depth), (keys, outputs) = prod(batch), shapes[0][-2:], shapes[2][-2:]
    count = block_vectors(images, (queries, depth, keys, outputs), cpu)
    width = count * cpu.lanes()
    outer = images, ceil(queries / width)
    tiles = [register_tile(1, rows, count, prod(outer), cpu) for rows in (keys, outputs)]
    rows, columns = (tile.covers(1, size)[1] for tile, size in zip(tiles, (keys, outputs), strict=True))
    k, j = te.reduce_axis((0, depth), "k"), te.reduce_axis((0, keys), "j")

    def own(b: Expr, v: Expr) -> Expr:
        return _inside(b * width + v, outer[1] * width, queries)

    def read(which: int, n: Expr, row: Expr, column: Expr) -> Expr:
        return (query, key, value)[which][*at(n, batch, leading[which]), row, column].astype("float32")

    # The last query, key and column of the values are repeated to whole blocks and tiles: nothing reads what is
    # computed of those.
    turned = te.compute((*outer, depth, width), lambda n, b, i, v: read(0, n, own(b, v), i), name=QUERIES)
    held_keys = te.compute((images, keys, depth), lambda n, i, c: read(1, n, c, i), name=KEYS)
    held_values = te.compute((images, keys, outputs), lambda n, i, c: read(2, n, i, c), name=VALUES)
    products = te.compute(
        (*outer, rows, width),
        lambda n, b, i, v: te.sum(held_keys[n, _inside(i, rows, keys), k] * turned[n, b, k, v], axis=k),
        name=PRODUCTS, attrs={TILE: annotation(KIND, tiles[0])[TILE]},
    )  # fmt: skip
    scores = te.compute(
        products.shape,
        lambda n, b, i, v: between(
            products[n, b, i, v], [*product.unraveled(n, batch), own(b, v), _inside(i, rows, keys)]
        ),
        name=SCORES,
    )
    weights, factor = _softmax(scores, keys)
    shares = weights
    if after is not None:
        shares = te.compute(weights.shape, lambda *i: after(weights[i] * factor[*i[:2], i[3]]), name=SHARES)
    sums = te.compute(
        (*outer, columns, width),
        lambda n, b, c, v: te.sum(held_values[n, j, _inside(c, columns, outputs)] * shares[n, b, j, v], axis=j),
        name=KIND, attrs=annotation(KIND, tiles[1]),
    )  # fmt: skip
    finished = te.compute(
        sums.shape, lambda *i: sums[i] * factor[*i[:2], i[3]] if after is None else sums[i], name=FINISHED
    )
    return te.compute(
        (*batch, queries, outputs),
        lambda *i: finished[product.raveled(i[:-2], batch), i[-2] // width, i[-1], i[-2] % width],
        name="output",
    )


def _softmax(scores: Tensor, keys: int) -> tuple[Tensor, Tensor]:
    """Return e to the power of `scores` less the greatest of each query's, and for each query one over their sum."""
    images, blocks, _, width = scores.shape
    lanes, j = (images, blocks, width), te.reduce_axis((0, keys), "j")
    greatest = te.compute(lanes, lambda n, b, v: te.max(scores[n, b, j, v], axis=j), name=GREATEST)
    weights = te.compute(
        (images, blocks, keys, width),
        lambda n, b, i, v: exp_of_negative(scores[n, b, i, v] - greatest[n, b, v]),
        name=WEIGHTS,
    )
    total = te.compute(lanes, lambda n, b, v: te.sum(weights[n, b, j, v], axis=j), name=TOTAL)
    # One division for each query: to divide a vector takes as long as ten other steps.
    return weights, te.compute(lanes, lambda *i: 1.0 / total[i], name=FACTOR)


def _inside(index: Expr, padded: int, size: int) -> Expr:
    """Return `index`, below `padded`, as one below `size`."""
    return tirx.min(index, size - 1) if padded > size else index


def block_vectors(images: int, sizes: tuple[int, int, int, int], cpu: Cpu) -> int:
    """Return how many vectors of queries a block has, for `sizes`: queries, depth, keys and outputs."""
    queries, depth, keys, outputs = sizes
    fitting = max(1, cpu.l2_bytes // (2 * BUFFERS * keys * cpu.lanes() * BYTES))
    vectors, one = ceil(queries / cpu.lanes()), replace(cpu, cores=1)

    def cost(count: int) -> float:
        blocks = ceil(images * ceil(vectors / count) / cpu.cores)
        return blocks * (depth * cycles(1, keys, count, 1, one) + keys * cycles(1, outputs, count, 1, one))

    return min(range(1, min(vectors, fitting, MOST_VECTORS) + 1), key=cost)


def schedule(sch: Schedule, block: SBlock, cpu: Cpu, choice: Choice) -> None:
    """Run over blocks of queries in parallel, each step of a block after the other, its products in register tiles."""
    steps = _kept(sch, cpu)
    [finished] = sch.get_consumers(block)
    last = inline_rest(sch, sch.get_consumers(finished)[0], finished)
    images = extents(sch, finished)[0]
    outer = sch.fuse(*sch.get_loops(finished)[:2])
    # TVM 0.27 does not move the copy of a single image's output whose last block of queries is not whole.
    moved = images > 1
    if moved:
        product.in_rows(sch, block, last)
        sch.reverse_compute_at(last, outer)
    else:
        parallel(sch, sch.fuse(*sch.get_loops(last)[:-1]), cpu)
    reduced = {KIND: _in_tiles(sch, block, finished, outer, cpu)}
    for name in (SHARES, FACTOR, TOTAL, WEIGHTS, GREATEST, SCORES):
        if name in steps:
            sch.compute_at(steps[name], outer, preserve_unit_loops=True)
    reduced[PRODUCTS] = _in_tiles(sch, steps[PRODUCTS], steps[SCORES], outer, cpu)
    sch.compute_at(steps[QUERIES], outer, preserve_unit_loops=True)
    for name in {WEIGHTS, FACTOR, SHARES}.intersection(steps):
        vectorize_inner(sch, steps[name], _below(sch, steps[name], outer)[-1:], cpu.lanes())
    for name in (GREATEST, TOTAL):
        lanes, reduced[name] = _below(sch, steps[name], outer)[-2:]
        sch.reorder(reduced[name], lanes)
        vectorize_inner(sch, steps[name], [lanes], cpu.lanes())
    small = [steps[name] for name in (QUERIES, GREATEST, TOTAL, FACTOR)]
    for step in [*small, finished] if moved else small:
        if prod(int(size) for size in sch.get(step).writes[0].source.shape[2:]) * BYTES <= MOST_STACK:
            sch.set_scope(step, 0, "local")
    parallel(sch, outer, cpu)
    # A block in two parts is no longer one that TVM moves, or runs in parallel.
    for name, loop in reduced.items():
        _decompose(sch, steps[name], loop, cpu)


def _kept(sch: Schedule, cpu: Cpu) -> dict[str, SBlock]:
    """Inline all before the finished products that is no step; return the steps by name.

    Keys and values that are made as they are read, of other dtypes say, are copied once for all queries.
    """
    found = {}
    for each in sch.get_child_blocks(sch.get_sblock("root")):
        name = sch.get(each).name_hint
        if name == FINISHED:
            break
        if name in STEPS or name == KIND:
            found[name] = each
        elif name in (KEYS, VALUES) and not _only_loads(sch, each):
            parallel(sch, sch.fuse(*sch.get_loops(each)[:2]), cpu)
            vectorize_last(sch, each, cpu)
        else:
            sch.compute_inline(each)
    return found


def _only_loads(sch: Schedule, block: SBlock) -> bool:
    return isinstance(sch.get(block).body.value, tvm.ir.TensorLoad)


def _in_tiles(sch: Schedule, sums: SBlock, written: SBlock, outer: Loop, cpu: Cpu) -> Loop:
    """Sum a tile of `sums` at a time in registers, below `outer`, for `written`; return the loop of the reduction."""
    _, rows, vectors = (int(size) for size in sch.get(sums).annotations[TILE])
    row, lane = _below(sch, written, outer)[-2:]
    tile, row = sch.split(row, [None, rows])
    group, vector, lane = sch.split(lane, [None, vectors, cpu.lanes()])
    sch.reorder(tile, group, row, vector, lane)
    sch.compute_at(sums, group, preserve_unit_loops=True)
    sch.set_scope(sums, 0, "local")
    for loop in (row, vector):
        sch.unroll(loop)
    sch.vectorize(lane)
    row, lane, step = _below(sch, sums, group)[-3:]
    sch.reorder(step, row, lane)
    vectorize_inner(sch, sums, [row, lane], cpu.lanes())
    return step


def _decompose(sch: Schedule, block: SBlock, reduction: Loop, cpu: Cpu) -> None:
    """Set what `block` reduces to its first value before the loop `reduction`, in whole vectors."""
    depth = len(_above(sch, block, reduction))
    first = sch.decompose_reduction(block, reduction)
    vectorize_inner(sch, first, sch.get_loops(first)[depth:], cpu.lanes())


def _above(sch: Schedule, block: SBlock, loop: Loop) -> list[Loop]:
    """Return the loops around `loop`, one of those over `block`."""
    loops = sch.get_loops(block)
    return list(loops[: next(i for i, each in enumerate(loops) if sch.get(each).same_as(sch.get(loop)))])


def _below(sch: Schedule, block: SBlock, loop: Loop) -> list[Loop]:
    """Return the loops over `block` that are in `loop`."""
    return list(sch.get_loops(block)[len(_above(sch, block, loop)) + 1 :])
