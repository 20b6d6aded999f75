"""Processor and dtype → how products are summed, and what activations are stored as."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.processor.dot import Dot, dot_of, stored, tensorized
from dlas_ops.processor.targets import describe
from tests.dlas_ops.named_targets import named


@pytest.mark.parametrize(
    ("mcpu", "values", "data", "kept"),
    [
        ("x86-64-v2", 2, "int16", "uint8"),
        ("x86-64-v3", 2, "int16", "uint8"),
        ("x86-64-v4", 2, "int16", "uint8"),
        ("znver4", 4, "uint8", "uint8"),
        ("sapphirerapids", 4, "uint8", "uint8"),
        ("cortex-a72", 1, "uint8", "uint8"),
        ("neoverse-n1", 4, "int8", "int8"),
    ],
)
def test_small_integers_are_summed_by_the_processors_instruction(mcpu: str, values: int, data: str, kept: str) -> None:
    cpu = describe(named(mcpu))
    dot = dot_of("int8", cpu)
    assert (dot.values, dot.data, dot.sums, stored(cpu)) == (values, data, "int32", kept)
    assert (dot.instruction != "") == (values > 1)


def test_float16_is_summed_in_pairs_where_asked_and_possible() -> None:
    assert dot_of("float16", describe(named("sapphirerapids")), half=True).sums == "float16"
    assert dot_of("float16", describe(named("sapphirerapids"))) == dot_of("float32", describe(named("znver4"))) == Dot()
    assert dot_of("float16", describe(named("znver4")), half=True) == Dot()


def test_intrinsics_are_registered_under_their_names() -> None:
    dot = dot_of("int8", describe(named("znver4")))
    names = {tensorized(dot, 16), tensorized(dot, 16, broadcast=False), tensorized(dot, 16, scope="global")}
    assert len(names) == 3
    assert all(tvm.s_tir.TensorIntrin.get(name) is not None for name in names)
