"""Decisions → the programs that their steps make: plain JSON, the same again, refused where they do not fit."""

from __future__ import annotations

import json
from math import prod

import pytest
import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Schedule
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.steps import extents, parallel
from dlas_ops.tuning.tuners import Decision
from dlas_ops.tuning.tuners._metaschedule import Generator
from dlas_ops.tuning.tuners._traces import DRAWN, TILED, Known, replayed, sampled, trace_of
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

TARGET = named("znver4")
CPU = describe_cpu(TARGET)
FUNCTION = program(TARGET, Conv(1, 16, 4, 4, 32, (1, 1)), "direct/dense")
SPARSE = program(TARGET, Conv(1, 16, 4, 4, 32, (1, 1)), "gemm/csr", density=0.5)


def fused() -> Schedule:
    """Return a schedule of `FUNCTION` by hand."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": FUNCTION}))
    loops = sch.get_loops(sch.get_sblock("direct"))
    channels = loops[4]
    sch.split(channels, sch.sample_perfect_tile(channels, n=2, max_innermost_factor=16, decision=[2, 16]))
    parallel(sch, sch.fuse(*loops[:3]), CPU)
    return sch


def test_steps_are_plain_json_and_make_the_same_program() -> None:
    sch = fused()
    trace = trace_of(sch)
    assert json.loads(json.dumps(trace)) == trace
    again = replayed(FUNCTION, TARGET, json.loads(json.dumps(trace)))
    assert tvm_ffi.structural_equal(again.mod, sch.mod)
    assert trace_of(again) == trace


def test_only_what_draws_is_sampled_and_its_tiles_are_told() -> None:
    [found] = Generator(FUNCTION, TARGET, 0).batch(1)
    trace = trace_of(found)
    steps = [step[0] for step in trace[0]]
    sch, tiles = sampled(FUNCTION, TARGET, trace)
    assert len(tiles) == steps[: steps.index(DRAWN)].count(TILED) > 0
    vector = 16  # which is not drawn
    assert prod(prod(factors) for factors in tiles) * vector == prod(extents(sch, sch.get_sblock("direct")))
    assert "parallel" in nests(found.mod["main"])["direct_update"]
    assert "parallel" not in nests(sch.mod["main"])["direct"], "which follows from the tiles"


def test_every_step_is_sampled_where_none_follows_from_others() -> None:
    sch, tiles = sampled(FUNCTION, TARGET, trace_of(fused()))
    assert tiles == [[2, 16]]
    assert tvm_ffi.structural_equal(sch.mod, fused().mod)


@pytest.mark.parametrize("wrong", [None, {}, [], [[], 1], [["Fuse"], []], [[["Fuse", ["b7"], [], ["l1"]]], []]])
def test_what_is_no_trace_is_refused(wrong: Decision) -> None:
    for refuse in (replayed, sampled):
        with pytest.raises(ValueError, match="the trace does not fit the function"):
            refuse(FUNCTION, TARGET, wrong)


def test_a_trace_of_another_function_is_refused() -> None:
    other = program(TARGET, Conv(1, 16, 4, 4, 32, (1, 1)), "gemm/dense")
    with pytest.raises(ValueError, match="the trace does not fit the function"):
        replayed(other, TARGET, trace_of(fused()))


def test_sums_over_csr_weights_need_their_loops_too() -> None:
    rule = {"vectors": 1, "filters": 32, "unroll": 2}
    empty: Decision = [[], []]
    sch = replayed(SPARSE, TARGET, {"nest": rule | {"filters": 8}, "trace": empty})
    assert prod(extents(sch, sch.get_sblock("gemm"))) == 4
    for wrong in (empty, {"nest": rule}, {"nest": rule, "trace": empty, "more": 1}):
        with pytest.raises(ValueError, match="it says no nest and trace"):
            replayed(SPARSE, TARGET, wrong)
    with pytest.raises(ValueError, match="not allowed"):
        replayed(SPARSE, TARGET, {"nest": rule | {"filters": 3}, "trace": empty})


def test_a_program_is_new_once_however_it_came_about() -> None:
    known, sch = Known(), fused()
    assert known.add(sch)
    assert not known.add(replayed(FUNCTION, TARGET, trace_of(sch)))
    assert known.add(tvm.s_tir.Schedule(tvm.IRModule({"main": FUNCTION})))
