"""MetaSchedule's rules for a program: by what it reduces, and the instructions that its sums are laid out for."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import SpaceGenerator
from dlas_ops.kernels.scheduling import opened, space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.tunables import chosen
from dlas_ops.tuning.tuners._metaschedule import Generator
from dlas_ops.tuning.tuners._programs import blocks_of, reductions
from dlas_ops.tuning.tuners._rules import around_sums, instructions, rules
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

CONV = Conv(1, 16, 4, 4, 32, (1, 1))
BORDERED = Conv(1, 16, 4, 4, 32, (3, 3), padding=(1, 1, 1, 1))


def kinds(generator: SpaceGenerator) -> list[str]:
    """Return the names of a generator's rules."""
    return [type(rule).__name__ for rule in generator.sch_rules]


def test_blocks_come_in_their_order_and_some_of_them_reduce() -> None:
    function = program("znver4", BORDERED, "gemm/dense")
    assert [str(block.name_hint) for block in blocks_of(function)] == ["im2col", "gemm", "output", "T_add", "compute"]
    assert [str(block.name_hint) for block in reductions(function)] == ["gemm"]
    conversion = program("znver4", BORDERED, "16>0", "convert")
    assert reductions(conversion) == []


@pytest.mark.parametrize(
    ("mcpu", "dtype", "expected"),
    [
        ("znver4", "int8", ["dlas.vpdpbusd.16.broadcast.global"]),
        ("x86-64-v3", "int8", ["dlas.vpmaddwd.8.broadcast.global"]),
        ("neoverse-n1", "int8", ["dlas.sdot.4.broadcast.global"]),
        ("cortex-a72", "int8", []),
        ("sapphirerapids", "float16", ["dlas.half.multiplied.16.global"]),
        ("znver4", "float16", []),
        ("znver4", "bfloat16", ["dlas.vdpbf16ps.16.broadcast.global"]),
        ("neoverse-n2", "bfloat16", ["dlas.bfdot.4.broadcast.global"]),
        ("znver4", "float32", []),
    ],
)
def test_instructions_are_those_that_the_sums_are_laid_out_for(mcpu: str, dtype: str, expected: list[str]) -> None:
    found = instructions(program(mcpu, CONV, "direct/dense", dtype=dtype), describe_cpu(named(mcpu)))
    assert found == expected
    assert all(tvm.s_tir.TensorIntrin.get(name) is not None for name in found)


def test_sums_by_an_instruction_are_tiled_with_it_and_their_input_is_not_moved() -> None:
    plain = kinds(rules(program("znver4", CONV, "direct/dense"), named("znver4")))
    assert plain == [
        "AutoInline", "MultiLevelTilingWideVector", "ParallelizeVectorizeUnroll", "RandomComputeLocation",
    ]  # fmt: skip
    integers = kinds(rules(program("znver4", CONV, "direct/dense", dtype="int8"), named("znver4")))
    assert "MultiLevelTilingWithIntrin" in integers
    assert "RandomComputeLocation" not in integers


def test_what_copies_the_input_twice_is_not_moved() -> None:
    """Winograd's input is bordered and then transformed."""
    conv = Conv(1, 16, 8, 8, 32, (3, 3), padding=(1, 1, 1, 1))
    assert "RandomComputeLocation" not in kinds(rules(program("znver4", conv, "winograd/dense"), named("znver4")))
    assert "RandomComputeLocation" in kinds(rules(program("znver4", conv, "direct/dense"), named("znver4")))


def test_nothing_around_given_sums_is_tiled() -> None:
    function, cpu = program("znver4", CONV, "gemm/csr", density=0.5), describe_cpu(named("znver4"))
    found = kinds(around_sums(opened(function, cpu, chosen(space(function, cpu))), named("znver4")))
    assert found == ["AutoInline", "ParallelizeVectorizeUnroll", "RandomComputeLocation"]


def test_sums_by_an_instruction_begin_with_zeros_in_whole_vectors() -> None:
    function = program("znver4", CONV, "direct/dense", dtype="int8")
    for sch in Generator(function, named("znver4"), 0).batch(4):
        found = nests(sch.mod["main"])
        assert found["direct_init"].endswith("vector 16")
        assert "vector" not in found["direct_o_init"] + found["direct_o_update"]
