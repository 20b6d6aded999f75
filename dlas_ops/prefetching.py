"""Lowered tensor program → the same, but marked loops ask for the weights of later steps before they are needed.

Weights pass by once: in a network, what other layers have read since the last run has displaced them from the L2
cache. The processor's own prefetchers follow a stream within a page of memory only, and a reduction reads several
streams, of a few pages each.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops.schedules import AHEAD

tirx = tvm.tirx

# A stream is read in vectors; a number that is broadcast, or a group of 4 bytes, is no stream of weights.
LEAST_BITS = 128

# LLVM's intrinsic, and its operands: to read; into all caches; data.
INTRINSIC = "llvm.prefetch.p0"
OPERANDS = (0, 3, 1)


def prefetched(function: Any) -> Any:
    """Return `function` with a prefetch at the end of its marked loops for every vector that they load."""
    return function.with_body(tvm_ffi.structural_map(function.body, (tirx.For, _asking)))


def _asking(loop: Any) -> Any:
    kibibytes = loop.annotations.get(AHEAD)
    if kibibytes is None:
        return loop
    # At the end, because what an index is computed from may be bound in the body.
    statements = loop.body.seq if isinstance(loop.body, tirx.SeqStmt) else [loop.body]
    asked = [_prefetch(load, 1024 * int(kibibytes)) for load in _streams(loop.body)]
    rest = {name: value for name, value in loop.annotations.items() if name != AHEAD}
    return tirx.For(
        loop.loop_var, loop.min, loop.extent, loop.kind, tirx.SeqStmt([*statements, *asked]), loop.thread_binding, rest,
        loop.step,
    )  # fmt: skip


def _streams(body: Any) -> list[Any]:
    """Return the loads of vectors from memory in `body`, each once."""
    found: dict[tuple[Any, str], Any] = {}

    def visit(load: Any) -> None:
        dtype = tvm.DataType(str(load.ty.dtype))
        in_memory = load.source.scope() == "global" and isinstance(load.indices[-1], tirx.Ramp)
        if in_memory and dtype.bits * dtype.lanes >= LEAST_BITS:
            found.setdefault((load.source, str(load.indices[-1].base)), load)

    tvm_ffi.structural_walk(body, (tvm.ir.TensorLoad, visit))
    return list(found.values())


def _prefetch(load: Any, size: int) -> Any:
    """Return the statement that asks for what lies `size` bytes behind what `load` reads."""
    further = size * 8 // tvm.DataType(str(load.source.dtype)).bits
    place = tirx.address_of(tirx.BufferLoad(load.source, [load.indices[-1].base + further]))
    operands = (tirx.const(operand, "int32") for operand in OPERANDS)
    return tirx.Evaluate(tirx.call_llvm_intrin("void", INTRINSIC, place, *operands))
