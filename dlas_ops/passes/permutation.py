"""Lowered tensor program → the same, but vectors of bytes looked up in a table are permuted out of registers."""

from __future__ import annotations

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, BufferLoad, Expr, PrimFunc
from dlas_ops.processor.cpus import describe_cpu

tirx = tvm.tirx

REGISTER = 64
TABLE = 4 * REGISTER
INSTRUCTION = "llvm.x86.avx512.vpermi2var.qi.512"

# On a tensor program that reads such a table: to visit all that the others load would take as long as to schedule them.
READS = "dlas.reads_table"


def marked(function: PrimFunc) -> PrimFunc:
    """Return `function` with the attribute `READS` if an argument of it is a table."""
    tables = [parameter for parameter in function.params if _is_table(parameter.ty)]
    return function.with_attr(READS, 1) if tables else function


def permuted(function: PrimFunc) -> PrimFunc:
    """Return `function` with the loads of vectors of bytes from anywhere in a table of 256 as permutations.

    As it is where the target has no instruction for it: LLVM then loads one byte after the other, which still takes
    less time than to compute what a table usually holds.
    """
    if READS not in function.attrs or "target" not in function.attrs:
        return function
    if not describe_cpu(function.attrs["target"]).permutes_bytes:
        return function
    return function.with_body(tvm_ffi.structural_map(function.body, (tvm.ir.TensorLoad, _permutation)))


def _permutation(load: BufferLoad) -> Expr:
    """Return what `load` reads: of two permutations, each of half of the table, what an index from 128 on selects."""
    table, index = load.source, load.indices[-1]
    lanes = tvm.DataType(str(index.ty.dtype)).lanes
    if not _is_table(table) or not 1 < lanes <= REGISTER or isinstance(index, tirx.Ramp):
        return load
    places = tirx.Cast(f"uint8x{lanes}", index)
    wide, dtype = _resized(places, "uint8", lanes, REGISTER), f"{table.dtype}x{REGISTER}"
    quarters = [tirx.BufferLoad(table, [tirx.Ramp(begin, 1, REGISTER)]) for begin in range(0, TABLE, REGISTER)]
    low, high = (
        _resized(tirx.call_llvm_pure_intrin(dtype, INSTRUCTION, one, wide, other), table.dtype, REGISTER, lanes)
        for one, other in (quarters[:2], quarters[2:])
    )
    return tirx.Select(places >= tirx.Broadcast(tirx.const(TABLE // 2, "uint8"), lanes), high, low)


def _is_table(buffer: Buffer) -> bool:
    """Tell whether `buffer` has a byte for each byte."""
    whole = len(buffer.shape) == 1 and isinstance(buffer.shape[0], tirx.IntImm) and int(buffer.shape[0]) == TABLE
    return bool(whole and tvm.DataType(str(buffer.dtype)).bits == 8)


def _resized(vector: Expr, dtype: str, lanes: int, wanted: int) -> Expr:
    """Return the first lanes of `vector`, followed by zeros if more are wanted."""
    if lanes == wanted:
        return vector
    first = tirx.const(0, "int64")
    if lanes > wanted:
        return tirx.call_llvm_pure_intrin(f"{dtype}x{wanted}", "llvm.vector.extract", vector, first)
    zeros = tirx.Broadcast(tirx.const(0, dtype), wanted)
    return tirx.call_llvm_pure_intrin(f"{dtype}x{wanted}", "llvm.vector.insert", zeros, vector, first)
