"""Lanes of a vector → tensor intrinsics that sum pairs of float16 products in float16, and those sums in float32.

A lane of 32 bits holds two float16 sums, of the products of even and of odd input channels. The input's pair is then
broadcast as 32 bits, which costs no more than a load, while to broadcast 16 bits takes a unit that multiplies too. It
is the layout of 8-bit dot products, and channel blocks are those of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from dlas_ops._types import Buffer, PrimFunc, ScriptBuilder

Body = Callable[..., None]

PAIR = 2

# Products that a float16 sum may take before it is added to a float32 one.
MOST_STEPS = 64

# On the block of the float16 sums.
PARTIAL = "dlas.partial"

# What the account says.
ARITHMETIC = f"float16 (sums of {MOST_STEPS} products in float16, then float32)"


def parts(extents: Sequence[int]) -> list[tuple[int, int]]:
    """Return each loop of a reduction split in two, (outside, inside) a float16 sum of at most `MOST_STEPS` products.

    The innermost loops are inside as they are, as many as fit, and of the next one the largest divisor that fits.
    """
    found, left = [], MOST_STEPS
    for extent in reversed(extents):
        inside = max(size for size in range(1, min(extent, left) + 1) if extent % size == 0)
        left = left // inside if inside == extent else 1
        found.append((extent // inside, inside))
    return found[::-1]


@cache
def multiplied(lanes: int, scope: str = "local") -> str:
    """Return the name of the tensor intrinsic that adds the products of one pair by `lanes` pairs to float16 sums."""
    return _registered(f"dlas.half.multiplied.{lanes}.{scope}", lanes, _products, _products_at_once, True, scope)


@cache
def widened(lanes: int, scope: str = "local") -> str:
    """Return the name of the tensor intrinsic that adds `lanes` pairs of float16 sums to float32 ones."""
    return _registered(f"dlas.half.widened.{lanes}.{scope}", lanes, _pairs, _pairs_at_once, False, scope)


def _registered(name: str, lanes: int, by_element: Body, at_once: Body, products: bool, scope: str) -> str:
    from dlas_ops._tvm import tvm

    functions = (_function(lanes, body, products, scope) for body in (by_element, at_once))
    tvm.s_tir.TensorIntrin.register(name, *functions, override=True)
    return name


def _function(lanes: int, body: Body, products: bool, scope: str) -> PrimFunc:
    """Return a function of a pair, `lanes` pairs and their sums or, not of `products`, of sums of pairs and sums."""
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as T

    with IRBuilder() as script, T.prim_func(s_tir=True):
        arguments = [T.arg(name, T.handle()) for name in ("a", "b", "c")[: 3 if products else 2]]
        held = {"scope": scope, "offset_factor": 1}
        if products:
            data = T.match_buffer(arguments[0], (PAIR,), "float16", offset_factor=1)
            weight = T.match_buffer(arguments[1], (lanes, PAIR), "float16", offset_factor=1)
            sums = T.match_buffer(arguments[2], (lanes, PAIR), "float16", **held)
            with T.sblock("root"):
                T.reads([sums[0:lanes, 0:PAIR], data[0:PAIR], weight[0:lanes, 0:PAIR]])
                T.writes([sums[0:lanes, 0:PAIR]])
                body(T, lanes, data, weight, sums)
        else:
            pairs = T.match_buffer(arguments[0], (lanes, PAIR), "float16", **held)
            sums = T.match_buffer(arguments[1], (lanes,), "float32", **held)
            with T.sblock("root"):
                T.reads([sums[0:lanes], pairs[0:lanes, 0:PAIR]])
                T.writes([sums[0:lanes]])
                body(T, lanes, pairs, sums)
    return script.get()


def _products(T: ScriptBuilder, lanes: int, data: Buffer, weight: Buffer, sums: Buffer) -> None:
    with T.grid(lanes, PAIR) as (lane, value), T.sblock("update"):
        i, q = T.axis.spatial(lanes, lane), T.axis.spatial(PAIR, value)
        T.buffer_store(sums, sums[i, q] + data[q] * weight[i, q], [i, q])


def _products_at_once(T: ScriptBuilder, lanes: int, data: Buffer, weight: Buffer, sums: Buffer) -> None:
    width = lanes * PAIR
    pair = T.reinterpret(data.vload([0], f"float16x{PAIR}"), dtype="int32")
    held = T.reinterpret(T.broadcast(pair, lanes), dtype=f"float16x{width}")
    before, weights = (buffer.vload([0, 0], f"float16x{width}") for buffer in (sums, weight))
    T.buffer_store(sums, before + held * weights, [0, T.ramp(0, 1, width)])


def _pairs(T: ScriptBuilder, lanes: int, pairs: Buffer, sums: Buffer) -> None:
    with T.grid(lanes) as lane, T.sblock("update"):
        i = T.axis.spatial(lanes, lane)
        T.buffer_store(sums, sums[i] + T.cast(pairs[i, 0] + pairs[i, 1], "float32"), [i])


def _pairs_at_once(T: ScriptBuilder, lanes: int, pairs: Buffer, sums: Buffer) -> None:
    both = T.reinterpret(pairs.vload([0, 0], f"float16x{lanes * PAIR}"), dtype=f"uint32x{lanes}")
    odd = T.reinterpret(T.shift_right(both, T.broadcast(T.uint32(16), lanes)), dtype=f"float16x{lanes * PAIR}")
    even = T.reinterpret(both, dtype=f"float16x{lanes * PAIR}")
    # The lower half of each lane is the sum; the upper one is dropped.
    added = T.cast(T.reinterpret(even + odd, dtype=f"uint32x{lanes}"), f"uint16x{lanes}")
    wide = T.cast(T.reinterpret(added, dtype=f"float16x{lanes}"), f"float32x{lanes}")
    T.buffer_store(sums, sums.vload([0], f"float32x{lanes}") + wide, [T.ramp(0, 1, lanes)])
