"""Instruction of a GPU → the tensor intrinsic that adds four products of int8 to one sum of 32 bits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from dlas_ops._types import Buffer, PrimFunc, ScriptBuilder

VALUES = 4

# Name of the instruction → the function that CUDA C or OpenCL C has for it, of two vectors of int8 and a sum.
FUNCTIONS: Mapping[str, str] = {
    "dp4a": "__dp4a",
    "arm_dot": "arm_dot_acc",  # of the extension cl_arm_integer_dot_product_accumulate_int8
}


@cache
def summed(instruction: str, data_scope: str, weight_scope: str) -> str:
    """Return the name of the intrinsic for operands in buffers of these scopes, and a sum in a register."""
    from dlas_ops._tvm import tvm

    name = f"dlas.{instruction}.{data_scope}.{weight_scope}"
    functions = (_function(instruction, data_scope, weight_scope, by_element) for by_element in (True, False))
    tvm.s_tir.TensorIntrin.register(name, *functions, override=True)
    return name


def _function(instruction: str, data_scope: str, weight_scope: str, by_element: bool) -> PrimFunc:
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as T

    with IRBuilder() as script, T.prim_func(s_tir=True):
        arguments = [T.arg(name, T.handle()) for name in ("a", "b", "c")]
        data = T.match_buffer(arguments[0], (VALUES,), "int8", offset_factor=1, scope=data_scope)
        weight = T.match_buffer(arguments[1], (VALUES,), "int8", offset_factor=1, scope=weight_scope)
        sums = T.match_buffer(arguments[2], (1,), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads([sums[0], data[0:VALUES], weight[0:VALUES]])
            T.writes([sums[0]])
            (_by_element if by_element else _by_instruction)(T, instruction, data, weight, sums)
    return script.get()


def _by_element(T: ScriptBuilder, _instruction: str, data: Buffer, weight: Buffer, sums: Buffer) -> None:
    with T.grid(VALUES) as value, T.sblock("update"):
        q = T.axis.reduce(VALUES, value)
        T.buffer_store(sums, sums[0] + T.cast(data[q], "int32") * T.cast(weight[q], "int32"), [0])


def _by_instruction(T: ScriptBuilder, instruction: str, data: Buffer, weight: Buffer, sums: Buffer) -> None:
    vectors = (buffer.vload([0], f"int8x{VALUES}") for buffer in (data, weight))
    T.buffer_store(sums, T.call_pure_extern("int32", FUNCTIONS[instruction], *vectors, sums[0]), [0])
