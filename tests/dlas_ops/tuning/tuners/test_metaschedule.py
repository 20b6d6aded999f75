"""MetaSchedule's search, a batch at a time: without its intrinsics, with tiles that fit, from a seed."""

from __future__ import annotations

import sys
from math import prod
from types import ModuleType

import pytest
import tvm_ffi
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops.kernels.scheduling import opened, space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.steps import extents
from dlas_ops.schedule.tunables import chosen
from dlas_ops.tuning.tuners._cost import FEWEST
from dlas_ops.tuning.tuners._metaschedule import (
    UNUSED,
    Generator,
    Sampler,
    adapted,
    nearest_tiles,
    without_intrinsics,
)
from dlas_ops.tuning.tuners._traces import trace_of
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

TARGET = named("znver4")
CPU = describe_cpu(TARGET)
CONV = Conv(1, 16, 4, 4, 32, (1, 1))
FUNCTION = program(TARGET, CONV, "direct/dense")


@given(extent=st.integers(1, 300), tiles=st.lists(st.integers(1, 64), min_size=2, max_size=4), most=st.integers(1, 64))
def test_tiles_are_factors_near_those_of_another_loop(extent: int, tiles: list[int], most: int) -> None:
    found = nearest_tiles(extent, tiles, most)
    assert len(found) == len(tiles)
    assert prod(found) == extent
    assert found[-1] <= most
    if tiles[-1] <= most and extent % tiles[-1] == 0:
        assert found[-1] == tiles[-1]


def test_innermost_tiles_are_fitted_first_and_outermost_ones_take_what_is_left() -> None:
    assert nearest_tiles(20, [1, 4, 8], 64) == [1, 2, 10]
    assert nearest_tiles(80, [1, 2, 4], 64) == [10, 2, 4]
    assert nearest_tiles(81, [1, 32], 16) == [9, 9]
    assert nearest_tiles(16, [1, 2], 1) == [16, 1]


def test_intrinsics_are_kept_out_only_meanwhile_and_only_if_they_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, UNUSED, raising=False)

    def failing() -> None:
        with without_intrinsics():
            assert not hasattr(sys.modules[UNUSED], "__file__")
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert UNUSED not in sys.modules
    own = ModuleType(UNUSED)
    monkeypatch.setitem(sys.modules, UNUSED, own)
    with without_intrinsics():
        assert sys.modules[UNUSED] is own
    assert sys.modules[UNUSED] is own


def test_a_batch_is_schedules_of_whole_vectors_and_another_seed_gives_others() -> None:
    found = Generator(FUNCTION, TARGET, 5).batch(4)
    assert len(found) == 4
    for sch in found:
        assert nests(sch.mod["main"])["direct_update"].endswith("vector 16")
    other = Generator(FUNCTION, TARGET, 6).batch(4)
    assert [tvm_ffi.structural_hash(sch.mod) for sch in other] != [tvm_ffi.structural_hash(sch.mod) for sch in found]


def test_what_was_measured_changes_the_next_population() -> None:
    """Of so few the cost model learns nothing yet."""
    first, failed, resumed = (Generator(FUNCTION, TARGET, 0) for _ in range(3))
    measured = first.batch(4)
    for sch in measured[: FEWEST - 1]:
        failed.learn(sch, None)
        resumed.learn(sch, 1e-3)
    hashes = [[tvm_ffi.structural_hash(sch.mod) for sch in each] for each in (measured, failed.batch(4))]
    assert hashes[0] == hashes[1], "a failure is of no population"
    assert hashes[0] != [tvm_ffi.structural_hash(sch.mod) for sch in resumed.batch(4)]


def test_draws_around_given_sums_leave_these_as_they_are() -> None:
    function = program(TARGET, Conv(1, 16, 8, 8, 32, (1, 1)), "gemm/csr", density=0.5)
    given = opened(function, CPU, chosen(space(function, CPU), {"filters": 8}))
    [loops] = [loops for name, loops in nests(given).items() if name == "gemm"]
    found = Sampler(given, TARGET, 0).batch(4)
    assert len(found) == 4
    for sch in found:
        assert prod(extents(sch, sch.get_sblock("gemm"))) >= int(loops)
        assert "vector" not in nests(sch.mod["main"])["compute"]


def test_steps_for_one_shape_are_adapted_to_another_with_tiles_that_divide_its_loops() -> None:
    steps = trace_of(Generator(FUNCTION, TARGET, 0).batch(1)[0])
    same = adapted(FUNCTION, TARGET, steps)
    assert same is not None
    other = program(TARGET, Conv(1, 48, 5, 7, 80, (1, 1)), "direct/dense")
    fitted = adapted(other, TARGET, steps)
    assert fitted is not None
    for sch, function in ((same, FUNCTION), (fitted, other)):
        update = sch.get_sblock("direct_update")
        defined = tvm.s_tir.Schedule(function)
        assert prod(extents(sch, update)) == prod(extents(defined, defined.get_sblock("direct")))
    with pytest.raises(ValueError, match="the trace does not fit the function"):
        adapted(program(TARGET, CONV, "gemm/dense"), TARGET, steps)


def test_the_context_counts_the_targets_cores() -> None:
    """MetaSchedule's rules ask for them; a target need not say them."""
    target = tvm.target.Target({"kind": "llvm", "mcpu": "znver4"})
    assert len(Generator(program(target, CONV, "direct/dense"), target, 0).batch(1)) == 1
