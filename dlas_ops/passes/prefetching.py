"""Lowered tensor program → the same, but marked loops ask for the weights of later steps before they are needed.

Weights pass by once: in a network, what other layers have read since the last run has displaced them from the L2
cache. The processor's own prefetchers follow a stream within a page of memory only, and a reduction reads several
streams, of a few pages each.

A loop asks for what its own streams read some KiB later or, where several tiles of points read the same block of
weights, for the block after it: only the first of these tiles waits for memory, at its full bandwidth, and nothing is
read while the others are computed. Asked for in equal parts by all of them, the next block comes at the pace at which
this one is used. In MobileNetV1's layers of 512 x 512 channels and 8 x 8 points, behind 4 MiB evicted, 86 to 88 us
instead of 91 to 93 (79 to 80 with all in the L2 cache; 2 cores with 2 MiB of it each, 1 MB of weights; measured aside,
behind a copy).
"""

from __future__ import annotations

from collections.abc import Sequence

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, BufferLoad, Expr, For, PrimFunc, Stmt
from dlas_ops.schedule.steps import AHEAD, BLOCK_AHEAD, TILES

tirx = tvm.tirx

# A stream is read in vectors; a number that is broadcast, or a group of 4 bytes, is no stream of weights.
LEAST_BITS = 128

# LLVM's intrinsic, and its operands: to read; into all caches; data.
INTRINSIC = "llvm.prefetch.p0"
OPERANDS = (0, 3, 1)


def prefetched(function: PrimFunc) -> PrimFunc:
    """Return `function` with a prefetch at the end of its marked loops for every vector that they load."""
    body = tvm_ffi.structural_map(function.body, (tirx.For, _ahead))
    return function.with_body(tvm_ffi.structural_map(body, (tirx.For, _blocks_ahead)))


def _ahead(loop: For) -> For:
    """Return `loop`, which asks for what it reads so many KiB later if it is marked so."""
    kibibytes = loop.annotations.get(AHEAD)
    if kibibytes is None:
        return loop
    return _ending(loop, [_further(load, 1024 * int(kibibytes)) for load in _streams(loop.body)], AHEAD)


def _blocks_ahead(outer: For) -> For:
    """Return `outer`, whose inner loop asks for a part of the next block of weights if it is marked so."""
    tiles = outer.annotations.get(TILES)
    if tiles is None:
        return outer
    number = outer.loop_var % int(tiles)

    def asking(loop: For) -> For:
        if BLOCK_AHEAD not in loop.annotations:
            return loop
        return _ending(loop, _next_block(loop, _nest(outer.body, loop), number, int(tiles)), BLOCK_AHEAD)

    return _ending(outer, [], TILES, tvm_ffi.structural_map(outer.body, (tirx.For, asking)))


def _nest(body: Stmt, innermost: For) -> list[For]:
    """Return the loops in `body` around `innermost` and it, outermost first."""
    found = [innermost]

    def visit(loop: For) -> None:  # inner loops before outer ones
        inside: list[For] = []
        tvm_ffi.structural_walk(loop.body, (tirx.For, inside.append))
        if any(found[0].same_as(each) for each in inside):
            found.insert(0, loop)

    tvm_ffi.structural_walk(body, (tirx.For, visit))
    return found


def _next_block(loop: For, nest: list[For], number: Expr, tiles: int) -> list[Stmt]:
    """Return what asks for the next block's weights, evenly over the steps of the `nest` of all `tiles` of this one.

    `number` is which of these tiles it is. Weights lie in memory in the order of the nest's steps.
    """
    vectors, further = (int(size) for size in loop.annotations[BLOCK_AHEAD])
    streams = _streams(loop.body)
    lanes, read = int(streams[0].indices[-1].lanes), len(streams)
    step, steps = tirx.const(0, loop.loop_var.ty.dtype), 1
    for each in nest:
        step, steps = step * each.extent + each.loop_var, steps * int(each.extent)
    # The vectors of a block lie behind each other, the first one's weights first.
    start = streams[0].indices[-1].base - step * (read // vectors * lanes) + further
    place = start + ((number * steps + step) * (read * lanes)) // tiles
    return [_prefetch(streams[0], place + line * lanes) for line in range(-(-read // tiles))]


def _ending(loop: For, asked: Sequence[Stmt], mark: str, body: Stmt | None = None) -> For:
    """Return `loop` without `mark`, with `asked` at its end: what an index is computed from may be bound before."""
    body = loop.body if body is None else body
    if asked:
        body = tirx.SeqStmt([*(body.seq if isinstance(body, tirx.SeqStmt) else [body]), *asked])
    rest = {name: value for name, value in loop.annotations.items() if name != mark}
    return tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, body, loop.thread_binding, rest, loop.step)


def _streams(body: Stmt) -> list[BufferLoad]:
    """Return the loads of vectors from memory in `body`, each once."""
    found: dict[tuple[Buffer, str], BufferLoad] = {}

    def visit(load: BufferLoad) -> None:
        dtype = tvm.DataType(str(load.ty.dtype))
        in_memory = load.source.scope() == "global" and isinstance(load.indices[-1], tirx.Ramp)
        if in_memory and dtype.bits * dtype.lanes >= LEAST_BITS:
            found.setdefault((load.source, str(load.indices[-1].base)), load)

    tvm_ffi.structural_walk(body, (tvm.ir.TensorLoad, visit))
    return list(found.values())


def _further(load: BufferLoad, size: int) -> Stmt:
    """Return the statement that asks for what lies `size` bytes behind what `load` reads."""
    elements = size * 8 // tvm.DataType(str(load.source.dtype)).bits
    return _prefetch(load, load.indices[-1].base + elements)


def _prefetch(load: BufferLoad, place: Expr) -> Stmt:
    """Return the statement that asks for the element at `place` of what `load` reads."""
    address = tirx.address_of(tirx.BufferLoad(load.source, [place]))
    operands = (tirx.const(operand, "int32") for operand in OPERANDS)
    return tirx.Evaluate(tirx.call_llvm_intrin("void", INTRINSIC, address, *operands))
