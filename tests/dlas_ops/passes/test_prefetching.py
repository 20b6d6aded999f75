"""Marked loops: each stream of weights asked for once, as far ahead as said; others left as they are."""

from __future__ import annotations

import operator
import re
from dataclasses import replace
from typing import Any

import pytest
import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops.kernels.scheduling import schedule_function, space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes import pipeline
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.passes.prefetching import prefetched
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import describe
from dlas_ops.selection.candidates import programs
from tests.dlas_ops import assembly
from tests.dlas_ops import small_networks as networks

tirx = tvm.tirx

CONV = Conv(1, 64, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))


def function_of(algorithm: str, dtype: str = "float32", conv: Conv = CONV) -> Any:
    return programs(Problem(conv.operator, conv, dtype=dtype), networks.target())[f"{algorithm}/dense"].function


def text_of(algorithm: str, dtype: str, choice: dict[str, Any], conv: Conv = CONV) -> str:
    scheduled = schedule_function(function_of(algorithm, dtype, conv), describe(networks.target()), choice)
    library = tvm.compile(tvm.IRModule({"main": scheduled}), networks.target(), tir_pipeline=PIPELINE)
    return str(library.mod.inspect_source("asm"))


def prefetches(text: str) -> int:
    return len(re.findall(r"^\s*(?:prefetcht0|prfm)\b", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("algorithm", "dtype"),
    [*(("direct", dtype) for dtype in ("float32", "float16", "int8")), ("gemm", "float32"), ("winograd", "float32")],
)
def test_every_vector_of_weights_of_a_tile_is_asked_for(algorithm: str, dtype: str) -> None:
    text = text_of(algorithm, dtype, {"tile": (2, 2, 2), "prefetch": 2})
    loops = [loop for loop in assembly.innermost_loops(text) if prefetches("\n".join(loop.instructions))]
    assert loops
    assert all(prefetches("\n".join(loop.instructions)) % 2 == 0 for loop in loops)


def test_steps_that_are_unrolled_each_ask_for_theirs() -> None:
    texts = {
        steps: text_of("direct", "float32", {"tile": (2, 2, 2), "prefetch": 1, "unroll": steps}) for steps in (1, 8)
    }
    most = {
        steps: max(prefetches("\n".join(loop.instructions)) for loop in assembly.innermost_loops(text))
        for steps, text in texts.items()
    }
    assert most[8] >= 8 * most[1] // 2 > 0  # LLVM may itself unroll a loop that is short


def test_the_rules_ask_for_nothing_ahead() -> None:
    for algorithm in ("direct", "winograd"):
        assert space(function_of(algorithm), describe(networks.target()))["prefetch"][0] == 0
        assert not prefetches(text_of(algorithm, "float32", {}))


def asked_and_read(
    algorithm: str, conv: Conv, choice: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[set[int], set[int], int]:
    """Return where the program asks for weights and reads them, in elements, and how often it asks."""
    seen: list[Any] = []

    def noting(function: Any) -> Any:
        seen.append(prefetched(function))
        return seen[-1]

    monkeypatch.setattr(pipeline, "prefetched", noting)
    text_of(algorithm, "float32", choice, conv)
    asked: list[int] = []
    read: set[int] = set()
    run(seen[0].body, {}, asked, read)
    return set(asked), read, len(asked)


def run(statement: Any, values: dict[Any, int], asked: list[int], read: set[int]) -> None:
    """Run a program's loops, noting which weights it asks for and which vectors of them it reads."""
    match statement:
        case tirx.For():
            for value in range(int(statement.extent)):
                run(statement.body, values | {statement.loop_var: value}, asked, read)
        case tirx.SeqStmt():
            values = dict(values)
            for each in statement.seq:
                if isinstance(each, tirx.Bind):
                    if not isinstance(each.value, tvm.ir.Call):  # which unpacks the arguments
                        values[each.var] = number(each.value, values)
                else:
                    run(each, values, asked, read)
        case tirx.AttrStmt():
            run(statement.body, values, asked, read)
        case tirx.Evaluate() if "llvm_intrin" in str(statement.value.op):
            load = statement.value.args[1].args[0]
            asked.append(number(load.indices[0], values))
        case tirx.BufferStore():

            def visit(load: Any) -> None:
                if load.source.name.startswith("weight"):
                    read.add(number(load.indices[0].base, values))

            tvm_ffi.structural_walk(statement.value, (tvm.ir.TensorLoad, visit))


OPERATIONS = {"Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "FloorDiv": operator.floordiv,
              "FloorMod": operator.mod, "Div": operator.floordiv, "Mod": operator.mod}  # fmt: skip


def number(expression: Any, values: dict[Any, int]) -> int:
    if isinstance(expression, tirx.Var):
        return values[expression]
    if isinstance(expression, tirx.IntImm):
        return int(expression)
    operation = OPERATIONS[type(expression).__name__]
    return int(operation(number(expression.a, values), number(expression.b, values)))


@pytest.mark.parametrize("unroll", [1, 4])
@pytest.mark.parametrize("outer", ["channels", "points"])
@pytest.mark.parametrize(("size", "tile"), [(8, (4, 2, 2)), (8, (8, 2, 1)), (8, (1, 2, 4)), (4, (4, 4, 1))])
@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack"])
def test_blocks_of_weights_are_asked_for_while_the_one_before_is_read(
    algorithm: str, size: int, tile: tuple[int, int, int], outer: str, unroll: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = replace(CONV, in_channels=32, height=size, width=size)
    choice = {"tile": tile, "outer": outer, "unroll": unroll, "prefetch": "block"}
    asked, read, count = asked_and_read(algorithm, conv, choice, monkeypatch)
    vector, block = 16, 16 * 9 * 32 * tile[2]
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
