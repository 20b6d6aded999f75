"""Searches over sums of CSR weights: other loops, other places for what is around them, and what is learned."""

from __future__ import annotations

import json
from math import prod

import pytest
import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Schedule
from dlas_ops.kernels.scheduling import opened
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.steps import extents
from dlas_ops.tuning.tuners import generated
from dlas_ops.tuning.tuners._nests import NestSearch
from dlas_ops.tuning.tuners._traces import replayed
from dlas_ops.tuning.tuners.template import choice_of
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program
from tests.dlas_ops.tuning.tuners.tunable_programs import function_of

TARGET = named("znver4")


def sums_run(sch: Schedule) -> int:
    """Return how many tasks of sums a schedule runs."""
    return prod(extents(sch, sch.get_sblock("direct")))


def test_sums_over_csr_weights_have_other_loops_and_other_places_for_what_is_around_them() -> None:
    function = function_of("direct/csr", mcpu="znver4")
    search = NestSearch(function, TARGET, 0)
    first = search.propose(12)
    assert len({json.dumps(decision["nest"]) for decision in first}) > 2
    assert len({json.dumps(decision["trace"]) for decision in first}) > 1
    best = first[-1]
    for decision in first:
        search.learn(decision, 1e-3 if decision is best else 2e-3)
    second = search.propose(12)
    assert all(decision["nest"] == best["nest"] or decision["trace"] == best["trace"] for decision in second)
    for decision in first + second:
        tasks = opened(function, describe_cpu(TARGET), choice_of(decision["nest"]))
        assert sums_run(replayed(function, TARGET, decision)) == sums_run(tvm.s_tir.Schedule(tasks))
    programs = [generated.schedule(function, TARGET, decision) for decision in first + second]
    assert len({tvm_ffi.structural_hash(program) for program in programs}) == len(first + second) > 12


@pytest.mark.parametrize("algorithm", ["gemm", "spatial_pack"])
def test_repacks_the_input_of_sums_over_csr_weights_in_vectors(algorithm: str) -> None:
    conv = Conv(1, 32, 32, 32, 32, (3, 3), padding=(1, 1, 1, 1))
    function = program(TARGET, conv, f"{algorithm}/csr", density=0.2)
    moved = set()
    for decision in NestSearch(function, TARGET, 0).propose(16):
        sch = replayed(function, TARGET, decision)
        [copy] = sch.get_producers(sch.get_sblock(algorithm))
        loops = sch.get_loops(copy)
        assert sch.get(loops[-1]).kind == tvm.tirx.ForKind.VECTORIZED
        [border] = sch.get_producers(copy)
        assert sch.get(border).name_hint == "bordered"
        moved.add(len(sch.get_child_blocks(loops[0])))
    assert moved == {1, 2}


def test_what_was_learned_is_not_proposed_and_a_seed_gives_the_same_again() -> None:
    function = program(TARGET, Conv(2, 8, 8, 8, 32, (1, 1)), "gemm/csr", density=0.5)
    first = NestSearch(function, TARGET, 3).propose(6)
    assert first == NestSearch(function, TARGET, 3).propose(6)
    resumed = NestSearch(function, TARGET, 3)
    resumed.learn({"nest": {"filters": 3}, "trace": first[0]["trace"]}, 1e-9)  # of another program
    for index, decision in enumerate(first):
        resumed.learn(decision, None if index else 1e-3)
    second = resumed.propose(6)
    assert second
    programs = [generated.schedule(function, TARGET, decision) for decision in first + second]
    assert len({tvm_ffi.structural_hash(each) for each in programs}) == len(programs)
    best, *others = (json.dumps(decision["nest"], sort_keys=True) for decision in first)
    tried = {json.dumps(decision["nest"], sort_keys=True) for decision in second}
    assert best in tried, "other steps for the fastest loops"
    assert not (tried - {best}) & set(others), "and loops that were not tried"
