"""Lowered tensor program that multiplies bfloat16 → the same, with the function that it calls for that beside it."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.processor import bfloat
from dlas_ops.processor.cpus import describe_cpu

tirx = tvm.tirx

# On a tensor program that reads bfloat16: lowered, it has 16 bits of no such type.
READS = "dlas.reads_bfloat16"


def marked(function: PrimFunc) -> PrimFunc:
    """Return `function` with the attribute `READS` if an argument of it is of bfloat16."""
    read = any(str(parameter.ty.dtype) == "bfloat16" for parameter in function.params)
    return function.with_attr(READS, 1) if read else function


def with_products(function: PrimFunc) -> PrimFunc:
    """Return `function` beside the definitions of its processor's products, if it reads bfloat16 and there are any."""
    if READS not in function.attrs or "target" not in function.attrs:
        return function
    target = function.attrs["target"]
    if str(target.kind.name) != "llvm" or not (instruction := describe_cpu(target).bfloat):
        return function
    beside = tvm.ir.StringImm(bfloat.definitions(instruction))
    zero = tirx.const(0, "int32")
    return function.with_body(tirx.AttrStmt(zero, "pragma_import_llvm", beside, function.body))
