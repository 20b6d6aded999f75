"""Target → programs that take a processor to its peaks: products summed in registers, and memory read in a stream.

``arithmetic`` is the innermost part of a matrix product: a tile of 6 rows by 2 vectors of sums stays in registers, 12
chains of multiply-adds, more than the latency of 4 cycles times two units needs, and what it reads fits the L1 cache.
LLVM makes each a fused multiply-add where the target has one. Its width is that of the target's vectors.

Checked on 2 cores of AMD Zen 4 (two multiply-adds of 256 bits per cycle, 32 flop) at up to 3.7 GHz, which bounds a core
to 118 GFLOP/s: 117.7 with AVX-512 and 117.3 with AVX2, the best of 10 runs (TVM 0.27, LLVM 22).
"""

from __future__ import annotations

from dlas_ops._types import Library, Target
from dlas_ops.control import compiled, products
from dlas_ops.passes.eviction import LINE, evicting
from dlas_ops.processor.targets import describe

ROWS, VECTORS = 6, 2
INNER, AGAIN = 64, 8000  # 1.7 ms on that processor, 10 ms on a core of a Raspberry Pi 4

Arguments = list[tuple[tuple[int, ...], str]]  # shapes and dtypes


def build(target: Target) -> Library:
    """Return the programs ``arithmetic`` and ``memory``, compiled for `target`.

    ``arithmetic(left, right, sums)`` multiplies and adds, see `dlas_ops.control.products`; its shapes are those of
    `arithmetic`. ``memory(memory, sums)``, of the shapes of `memory`, sums what it reads.
    """
    return compiled({"arithmetic": products(ROWS, _lanes(target), INNER, AGAIN), "memory": evicting()}, target)


def arithmetic(target: Target, threads: int) -> Arguments:
    """Return shape and dtype of the arguments of ``arithmetic``, on so many threads."""
    shapes = (threads, INNER, ROWS), (threads, INNER, _lanes(target)), (threads, ROWS, _lanes(target))
    return [(shape, "float32") for shape in shapes]


def flop(target: Target, threads: int) -> int:
    """Return how often ``arithmetic`` multiplies or adds, on so many threads."""
    return 2 * threads * ROWS * _lanes(target) * INNER * AGAIN


def memory(size: int, threads: int) -> Arguments:
    """Return shape and dtype of the arguments of ``memory``, which reads at most `size` bytes on so many threads."""
    return [((threads, size // (4 * LINE * threads), LINE), "float32"), ((threads, LINE), "float32")]


def _lanes(target: Target) -> int:
    return VECTORS * describe(target).lanes()
