"""Marked loops: each stream of weights asked for once, as far ahead as said; others left as they are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.candidates import programs
from dlas_ops.convolution import Conv
from dlas_ops.graph import Problem
from dlas_ops.pipeline import PIPELINE
from dlas_ops.scheduling import schedule_function, space
from dlas_ops.targets import describe
from tests.dlas_ops import assembly
from tests.dlas_ops import small_networks as networks

CONV = Conv(1, 64, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))


def function_of(algorithm: str, dtype: str = "float32") -> Any:
    return programs(Problem(CONV.operator, CONV, dtype=dtype), networks.target())[f"{algorithm}/dense"].function


def text_of(algorithm: str, dtype: str, choice: dict[str, Any]) -> str:
    scheduled = schedule_function(function_of(algorithm, dtype), describe(networks.target()), choice)
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
