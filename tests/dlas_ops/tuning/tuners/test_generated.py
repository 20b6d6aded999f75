"""Generated schedules: each computes what the rule-based one does, the same again, and is proposed once."""

from __future__ import annotations

import json
import sys
from math import prod
from typing import Any

import numpy as np
import pytest
import tvm_ffi
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import dense, grouped
from dlas_ops.kernels.scheduling import opened, schedule_function
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.dot import stored
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.steps import extents
from dlas_ops.selection.candidates import programs
from dlas_ops.tuning.tuners import generated
from dlas_ops.tuning.tuners._metaschedule import UNUSED, nearest_tiles, without_intrinsics
from dlas_ops.tuning.tuners._traces import replayed
from dlas_ops.tuning.tuners.template import choice_of
from tests.dlas_ops import small_networks as networks

CONV = Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1))
DEPTHWISE = Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=32)
GROUPED = Conv(1, 32, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1), groups=2)
# Of the largest output: float32 sums in another order; float16 results one rounding apart.
ERROR = {"float32": 1e-5, "float16": 4e-3, "int8": 0}
CASES = [
    *((name, dtype) for name in ("direct/dense", "gemm/dense", "spatial_pack/dense") for dtype in ("float32", "int8")),
    *((name, "float16") for name in ("direct/dense", "16")),
    *((name, "float32") for name in ("winograd/dense", "16")),
    *((name, dtype) for name in ("dense", "grouped") for dtype in ("float32", "int8")),
    *((f"{name}/csr", "float32") for name in ("direct", "gemm", "spatial_pack")),
]


def function_of(name: str, dtype: str = "float32") -> Any:
    target = networks.target()
    cpu = describe(target)
    data = stored(cpu) if dtype == "int8" else dtype
    if name == "dense":
        return _program(
            dense.pack(np.zeros((64, 40), dtype), cpu), (1, 64), data, lambda x, w: dense.compute(x, w, 40, cpu)
        )
    if name == "grouped":
        packed = grouped.pack(np.zeros((64, 16, 3, 3), dtype), GROUPED, cpu)
        return _program(packed, (1, 2, 6, 8, 16), data, lambda x, w: grouped.compute(GROUPED, x, w, 16, cpu))
    format = name.partition("/")[2] or "dense"
    conv = DEPTHWISE if name == "16" else CONV
    found = programs(Problem(conv.operator, conv, dtype=dtype, format=format, density=0.3), target)
    return found[name].function if name in found else next(iter(found.values())).function


def _program(packed: Any, shape: tuple[int, ...], dtype: str, compute: Any) -> Any:
    te = tvm.te
    data, weight = te.placeholder(shape, dtype, "data"), te.placeholder(packed.shape, str(packed.dtype), "weight")
    return te.create_prim_func([data, weight, compute(data, weight)])


def arguments_of(function: Any) -> list[Any]:
    """Return random arguments; requantized sums fill the range of 8 bits, and CSR weights are rows of equal length."""
    drawn = np.random.default_rng(0)
    fixed = {"low": -100.0, "high": 100.0, "factor": 1e-3}
    arguments: list[Any] = []
    values: Any
    for parameter in function.params:
        shape, dtype = [int(size) for size in parameter.ty.shape], str(parameter.ty.dtype)
        if parameter.name == "weight_1":
            values = drawn.integers(0, 20, shape)
        elif parameter.name == "weight_2":
            values = np.linspace(0, arguments[-1].size, shape[0])
        elif parameter.name in fixed:
            values = np.full(shape, fixed[parameter.name])
        elif dtype == "int32":
            values = drawn.integers(0, 20, shape)
        elif dtype.endswith("int8"):
            values = drawn.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape)
        elif dtype == "int16":  # 8-bit weights, widened for an instruction that takes no narrower ones
            values = drawn.integers(-128, 128, shape)
        else:
            values = drawn.standard_normal(shape)
        arguments.append(values.astype(dtype))
    return arguments


def ran(function: Any, arguments: list[Any]) -> Any:
    library = tvm.compile(tvm.IRModule({"main": function}), networks.target(), tir_pipeline=PIPELINE)
    held = [tvm.runtime.tensor(argument) for argument in arguments]
    library["main"](*held)
    return held[-1].numpy().astype(np.float64)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_proposed_schedules_compute_what_the_rule_based_one_does(name: str, dtype: str) -> None:
    function = function_of(name, dtype)
    assert generated.supports(function, networks.target()) is None
    arguments = arguments_of(function)
    expected = ran(schedule_function(function, describe(networks.target())), arguments)
    assert len(np.unique(expected)) > 20
    [decision] = generated.search(function, networks.target(), 0).propose(1)
    scheduled = generated.schedule(function, networks.target(), json.loads(json.dumps(decision)))
    error = np.abs(ran(scheduled, arguments) - expected).max()
    assert error <= ERROR[dtype] * np.abs(expected).max()


@pytest.mark.skipif(describe(networks.target()).dot == "", reason="the processor has no such instruction")
def test_sums_of_integers_are_made_by_the_processors_instruction() -> None:
    decisions = generated.search(function_of("direct/dense", "int8"), networks.target(), 0).propose(8)
    assert len(decisions) == 8
    assert all("Tensorize" in json.dumps(decision) for decision in decisions)


def test_what_was_learned_is_not_proposed_and_a_seed_and_a_decision_always_give_the_same() -> None:
    function = function_of("spatial_pack/dense")
    decisions = generated.search(function, networks.target(), 0).propose(8)
    assert decisions == generated.search(function, networks.target(), 0).propose(8)
    resumed = generated.search(function, networks.target(), 0)
    for index, decision in enumerate(decisions):
        resumed.learn(decision, 1e-3 * index if index else None)
    found = [generated.schedule(function, networks.target(), d) for d in [*decisions, *resumed.propose(8)]]
    assert len({tvm_ffi.structural_hash(program) for program in found}) == 16
    assert tvm_ffi.structural_equal(generated.schedule(function, networks.target(), decisions[0]), found[0])


def test_refuses_what_is_no_schedule_of_the_function() -> None:
    [decision] = generated.search(function_of("spatial_pack/dense"), networks.target(), 0).propose(1)
    other = function_of("gemm/dense")
    malformed: list[Any] = [decision, None, {}, [[], 1]]
    for wrong in malformed:
        with pytest.raises(ValueError, match="the trace does not fit the function"):
            generated.schedule(other, networks.target(), wrong)
    assert generated.transferred(other, networks.target(), decision) is None
    search = generated.search(other, networks.target(), 0)
    search.learn(decision, 1e-3)
    assert search.propose(1)


OTHER = Conv(1, 48, 7, 10, 80, (3, 3), padding=(1, 1, 1, 1))


@pytest.mark.parametrize(("algorithm", "dtype"), [("direct", "float32"), ("gemm", "int8"), ("winograd", "float32")])
def test_a_schedule_of_one_shape_is_fitted_to_another(algorithm: str, dtype: str) -> None:
    name, target = f"{algorithm}/dense", networks.target()
    other = programs(Problem(OTHER.operator, OTHER, dtype=dtype), target)[name].function
    arguments = arguments_of(other)
    expected = ran(schedule_function(other, describe(target)), arguments)
    decisions = generated.search(function_of(name, dtype), target, 0).propose(3)
    fitted = [generated.transferred(other, target, json.loads(json.dumps(decision))) for decision in decisions]
    assert fitted[0] is not None
    assert json.loads(json.dumps(fitted)) == fitted
    error = np.abs(ran(generated.schedule(other, target, fitted[0]), arguments) - expected).max()
    assert error <= ERROR[dtype] * np.abs(expected).max()
    search = generated.search(other, target, 0)
    for index, decision in enumerate(fitted):
        search.learn(decision, 1e-3 * (1 + index))
    assert len(search.propose(16)) == 16, "what was fitted is in the population of the search"
    own = function_of(name, dtype)
    assert tvm_ffi.structural_equal(
        generated.schedule(own, target, generated.transferred(own, target, decisions[0])),
        generated.schedule(own, target, decisions[0]),
    )


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


def sums_run(sch: Any) -> int:
    return prod(extents(sch, sch.get_sblock("direct")))


def test_sums_over_csr_weights_have_other_loops_and_other_places_for_what_is_around_them() -> None:
    function = function_of("direct/csr")
    search = generated.search(function, networks.target(), 0)
    first = search.propose(12)
    assert len({json.dumps(decision["nest"]) for decision in first}) > 2
    assert len({json.dumps(decision["trace"]) for decision in first}) > 1
    best = first[-1]
    for decision in first:
        search.learn(decision, 1e-3 if decision is best else 2e-3)
    second = search.propose(12)
    assert all(decision["nest"] == best["nest"] or decision["trace"] == best["trace"] for decision in second)
    for decision in first + second:
        tasks = opened(function, describe(networks.target()), choice_of(decision["nest"]))
        assert sums_run(replayed(function, networks.target(), decision)) == sums_run(tvm.s_tir.Schedule(tasks))
    programs = [generated.schedule(function, networks.target(), decision) for decision in first + second]
    assert len({tvm_ffi.structural_hash(program) for program in programs}) == len(first + second) > 12


@pytest.mark.parametrize("algorithm", ["gemm", "spatial_pack"])
def test_repacks_the_input_of_sums_over_csr_weights_in_vectors(algorithm: str) -> None:
    conv = Conv(1, 32, 32, 32, 32, (3, 3), padding=(1, 1, 1, 1))
    problem = Problem(conv.operator, conv, format="csr", density=0.2)
    function = programs(problem, networks.target())[f"{algorithm}/csr"].function
    moved = set()
    for decision in generated.search(function, networks.target(), 0).propose(16):
        sch = replayed(function, networks.target(), decision)
        [copy] = sch.get_producers(sch.get_sblock(algorithm))
        loops = sch.get_loops(copy)
        assert sch.get(loops[-1]).kind == tvm.tirx.ForKind.VECTORIZED
        [border] = sch.get_producers(copy)
        assert sch.get(border).name_hint == "bordered"
        moved.add(len(sch.get_child_blocks(loops[0])))
    assert moved == {1, 2}


def test_refuses_what_is_no_schedule_of_sums_over_csr_weights() -> None:
    function, other = function_of("direct/csr"), function_of("gemm/csr")
    [decision] = generated.search(function, networks.target(), 0).propose(1)
    malformed: list[Any] = [None, {}, decision["trace"], {**decision, "trace": [[], 1]}]
    for wrong in malformed:
        with pytest.raises(ValueError, match="the trace does not fit the function"):
            generated.schedule(function, networks.target(), wrong)
    with pytest.raises(ValueError, match="not allowed"):
        generated.schedule(function, networks.target(), {**decision, "nest": {"filters": 3}})
    assert generated.transferred(other, networks.target(), decision) is None
    assert generated.transferred(function, networks.target(), decision) == decision


def test_proposes_nothing_where_the_rules_can_do_nothing() -> None:
    te = tvm.te
    data = te.placeholder((64,), "float32", "data")
    function = te.create_prim_func([data, te.compute((64,), lambda i: data[i] + 1.0)])
    assert "reduces nothing" in (generated.supports(function, networks.target()) or "")
    assert generated.search(function, networks.target(), 0).propose(8) == []


def test_tvm_still_imports_intrinsics_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dlas_ops.tuning.tuners._metaschedule.without_intrinsics`: TVM 0.27 imports them with every tuning context."""
    from tvm.s_tir import meta_schedule as ms

    monkeypatch.setitem(sys.modules, UNUSED, None)
    with pytest.raises(ImportError):
        ms.TuneContext()
    monkeypatch.delitem(sys.modules, UNUSED)
    with without_intrinsics():
        ms.TuneContext()
    assert UNUSED not in sys.modules
