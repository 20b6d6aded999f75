"""Marked loops: each stream of weights asked for once, as far ahead as said; others left as they are."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import BufferLoad, Expr, PrimFunc, Stmt, Var
from dlas_ops.kernels.scheduling import space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.passes.prefetching import prefetched
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.tunables import Choice
from tests.dlas_ops import assembly
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program, scheduled

tirx = tvm.tirx

CONV = Conv(1, 64, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))
# LLVM compiles for any of them, whatever machine this is.
TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4", "sapphirerapids", "cortex-a72")


def text_of(mcpu: str, algorithm: str, dtype: str, choice: Choice) -> str:
    function = scheduled(program(mcpu, CONV, f"{algorithm}/dense", dtype=dtype), mcpu, choice)
    return assembly.program_text(function, mcpu)


def asking(mcpu: str, algorithm: str, choice: Choice, conv: Conv = CONV) -> PrimFunc:
    """Return the program as the pass leaves it: what comes before it in TVM's lowering, and then the pass alone."""
    module = tvm.IRModule({"main": scheduled(program(mcpu, conv, f"{algorithm}/dense"), mcpu, choice)})
    target = named(mcpu)
    lower, _, _ = tirx.get_tir_pipeline(PIPELINE)
    [function] = lower(tirx.transform.BindTarget(target.with_host(target))(module)).functions.values()
    return prefetched(function)


def prefetches(text: str) -> int:
    return len(re.findall(r"^\s*(?:prefetcht0|prfm)\b", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("mcpu", "algorithm", "dtype"),
    [
        *((mcpu, "direct", "float32") for mcpu in TARGETS),
        *((mcpu, "direct", "int8") for mcpu in ("x86-64-v2", "znver4")),
        *((mcpu, "direct", "float16") for mcpu in ("x86-64-v3", "sapphirerapids")),
        *((mcpu, algorithm, "float32") for mcpu in ("x86-64-v3", "znver4") for algorithm in ("gemm", "winograd")),
    ],
)
def test_every_vector_of_weights_of_a_tile_is_asked_for(mcpu: str, algorithm: str, dtype: str) -> None:
    text = text_of(mcpu, algorithm, dtype, {"tile": (2, 2, 2), "prefetch": 2})
    loops = [loop for loop in assembly.innermost_loops(text) if prefetches("\n".join(loop.instructions))]
    assert loops
    assert all(prefetches("\n".join(loop.instructions)) % 2 == 0 for loop in loops)


@pytest.mark.parametrize(("mcpu", "steps"), crossed(TARGETS, [1, 8]))
def test_steps_that_are_unrolled_each_ask_for_theirs(mcpu: str, steps: int) -> None:
    """Each step asks for its two vectors: exactly so as the pass leaves it; LLVM may unroll short loops further."""
    choice = {"tile": (2, 2, 2), "prefetch": 1, "unroll": steps}
    assert asked_in_innermost_loop(asking(mcpu, "direct", choice)) == 2 * steps
    loops = assembly.innermost_loops(text_of(mcpu, "direct", "float32", choice))
    assert max(prefetches("\n".join(loop.instructions)) for loop in loops) % (2 * steps) == 0
    assert max(prefetches("\n".join(loop.instructions)) for loop in loops) > 0


def asked_in_innermost_loop(function: PrimFunc) -> int:
    """Return the most prefetches that a loop has next to each other at its end."""
    most = 0

    def visit(loop: Stmt) -> None:
        nonlocal most
        body = loop.body.seq if isinstance(loop.body, tirx.SeqStmt) else [loop.body]
        most = max(most, sum(isinstance(each, tirx.Evaluate) and "llvm_intrin" in str(each.value.op) for each in body))

    tvm_ffi.structural_walk(function.body, (tirx.For, visit))
    return most


@pytest.mark.parametrize(("mcpu", "algorithm"), crossed(TARGETS, ["direct", "winograd"]))
def test_the_rules_ask_for_nothing_ahead(mcpu: str, algorithm: str) -> None:
    function = program(mcpu, CONV, f"{algorithm}/dense")
    assert space(function, describe(named(mcpu)))["prefetch"][0] == 0
    assert not asked_in_innermost_loop(asking(mcpu, algorithm, {}))


def asked_and_read(mcpu: str, algorithm: str, conv: Conv, choice: Choice) -> tuple[set[int], set[int], int]:
    """Return where the program asks for weights and reads them, in elements, and how often it asks."""
    asked: list[int] = []
    read: set[int] = set()
    lines = source_of(asking(mcpu, algorithm, choice, conv).body, {})
    exec("\n".join(lines), {"asked": asked, "read": read})
    return set(asked), read, len(asked)


def source_of(statement: Stmt, names: dict[Var, str]) -> list[str]:
    """Return Python code that runs a program's loops, noting what weights it asks for and what vectors it reads."""
    match statement:
        case tirx.For():
            name = names.setdefault(statement.loop_var, f"v{len(names)}")
            inside = [f"  {line}" for line in source_of(statement.body, names)]
            return [f"for {name} in range({int(statement.extent)}):", *inside, "  pass"]
        case tirx.SeqStmt():
            return [line for each in statement.seq for line in source_of(each, names)]
        case tirx.Bind() if not isinstance(statement.value, tvm.ir.Call):  # which unpacks the arguments
            name = names.setdefault(statement.var, f"v{len(names)}")
            return [f"{name} = {number(statement.value, names)}"]
        case tirx.AttrStmt():
            return source_of(statement.body, names)
        case tirx.Evaluate() if "llvm_intrin" in str(statement.value.op):
            load = statement.value.args[1].args[0]
            return [f"asked.append({number(load.indices[0], names)})"]
        case tirx.BufferStore():
            lines: list[str] = []

            def visit(load: BufferLoad) -> None:
                if load.source.name.startswith("weight"):
                    lines.append(f"read.add({number(load.indices[0].base, names)})")

            tvm_ffi.structural_walk(statement.value, (tvm.ir.TensorLoad, visit))
            return lines
        case _:
            return []


OPERATIONS = {"Add": "+", "Sub": "-", "Mul": "*", "FloorDiv": "//", "FloorMod": "%", "Div": "//", "Mod": "%"}


def number(expression: Expr, names: dict[Var, str]) -> str:
    if isinstance(expression, tirx.Var):
        return names[expression]
    if isinstance(expression, tirx.IntImm):
        return str(int(expression))
    operation = OPERATIONS[type(expression).__name__]
    return f"({number(expression.a, names)} {operation} {number(expression.b, names)})"


# One target of each width of vectors; the tiles fit the registers of all.
@pytest.mark.parametrize(
    ("algorithm", "tiled", "outer", "unroll", "mcpu"),
    crossed(
        ["direct", "gemm", "spatial_pack"],
        [(8, (4, 2, 1)), (8, (8, 1, 1)), (8, (1, 2, 4)), (4, (4, 1, 2))],
        ["channels", "points"],
        [1, 4],
        ["x86-64-v2", "x86-64-v3", "znver4"],
    ),
)
def test_blocks_of_weights_are_asked_for_while_the_one_before_is_read(
    algorithm: str, tiled: tuple[int, tuple[int, int, int]], outer: str, unroll: int, mcpu: str
) -> None:
    size, tile = tiled
    conv = replace(CONV, in_channels=32, height=size, width=size)
    choice = {"tile": tile, "outer": outer, "unroll": unroll, "prefetch": "block"}
    asked, read, count = asked_and_read(mcpu, algorithm, conv, choice)
    vector = describe(named(mcpu)).lanes()
    block = vector * 9 * 32 * tile[2]
    assert len(read) == 9 * 32 * 64 // vector
    # All but the first block, which nothing runs before; behind the last one nothing is read.
    assert {place // vector for place in asked if place < 9 * 32 * 64} == {
        place // vector for place in read if place >= block
    }
    assert max(asked) < 9 * 32 * 64 + block
    # Each vector once, or once per iteration where that reads less than one of the next block.
    points = size * size // (tile[0] * tile[1])
    iterations = points * 9 * 32 * 64 // (vector * tile[2] * unroll)
    lines = -(-tile[2] * unroll // (points if outer == "channels" else 1))
    assert count == iterations * lines
