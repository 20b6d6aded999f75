"""Generated schedules: each computes what the rule-based one does, the same again, and is proposed once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, PrimFunc
from dlas_ops.kernels.scheduling import schedule_function
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import describe
from dlas_ops.tuning.tuners import generated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program, ran
from tests.dlas_ops.tuning.tuners.tunable_programs import function_of, inputs_of

# Its candidates take a fraction of the time of others.
SMALL = Conv(1, 16, 4, 4, 32, (1, 1))
# Of the largest output: float32 sums in another order; float16 results one rounding apart.
ERROR = {"float32": 1e-5, "float16": 4e-3, "int8": 0}
CASES = [
    *((name, dtype) for name in ("direct/dense", "gemm/dense", "spatial_pack/dense") for dtype in ("float32", "int8")),
    *((name, "float16") for name in ("direct/dense", "depthwise")),
    *((name, "float32") for name in ("winograd/dense", "depthwise")),
    *((name, dtype) for name in ("dense", "grouped") for dtype in ("float32", "int8")),
    *((f"{name}/csr", "float32") for name in ("direct", "gemm", "spatial_pack")),
]
# What every run of the tests has: each layer, each dtype, and each dtype of what is laid out for its instructions.
QUICK = [
    ("direct/dense", "float16"), ("gemm/dense", "float32"), ("spatial_pack/dense", "int8"),
    ("winograd/dense", "float32"), ("depthwise", "float32"), ("dense", "int8"), ("grouped", "float32"),
    ("direct/csr", "float32"), ("spatial_pack/csr", "float32"),
]  # fmt: skip


def floats(function: PrimFunc, inputs: Sequence[Array]) -> Array:
    """Return what `function` computes, in a dtype in which differences of integers do not wrap around."""
    return ran(function, inputs).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "dtype"), [pytest.param(*case, marks=() if case in QUICK else pytest.mark.nightly) for case in CASES]
)
def test_proposed_schedules_compute_what_the_rule_based_one_does(name: str, dtype: str) -> None:
    function = function_of(name, dtype)
    assert generated.supports(function, networks.target()) is None
    inputs = inputs_of(function)
    expected = floats(schedule_function(function, describe(networks.target())), inputs)
    assert len(np.unique(expected)) > 20
    [decision] = generated.search(function, networks.target(), 0).propose(1)
    scheduled = generated.schedule(function, networks.target(), json.loads(json.dumps(decision)))
    error = np.abs(floats(scheduled, inputs) - expected).max()
    assert error <= ERROR[dtype] * np.abs(expected).max()


def test_sums_of_integers_are_made_by_the_processors_instruction() -> None:
    decisions = generated.search(function_of("direct/dense", "int8", "znver4"), named("znver4"), 0).propose(8)
    assert len(decisions) == 8
    assert all("Tensorize" in json.dumps(decision) for decision in decisions)


def test_what_was_learned_is_not_proposed_and_a_seed_and_a_decision_always_give_the_same() -> None:
    target = named("znver4")
    function = program(target, SMALL, "spatial_pack/dense")
    decisions = generated.search(function, target, 0).propose(8)
    assert decisions == generated.search(function, target, 0).propose(8)
    resumed = generated.search(function, target, 0)
    for index, decision in enumerate(decisions):
        resumed.learn(decision, 1e-3 * index if index else None)
    found = [generated.schedule(function, target, d) for d in [*decisions, *resumed.propose(8)]]
    assert len({tvm_ffi.structural_hash(each) for each in found}) == 16
    assert tvm_ffi.structural_equal(generated.schedule(function, target, decisions[0]), found[0])


def test_refuses_what_is_no_schedule_of_the_function() -> None:
    target = named("znver4")
    [decision] = generated.search(program(target, SMALL, "spatial_pack/dense"), target, 0).propose(1)
    other = program(target, SMALL, "gemm/dense")
    malformed: list[Any] = [decision, None, {}, [[], 1]]
    for wrong in malformed:
        with pytest.raises(ValueError, match="the trace does not fit the function"):
            generated.schedule(other, target, wrong)
    assert generated.transferred(other, target, decision) is None
    search = generated.search(other, target, 0)
    search.learn(decision, 1e-3)
    assert search.propose(1)


OTHER = Conv(1, 48, 7, 10, 80, (3, 3), padding=(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("algorithm", "dtype"),
    [pytest.param("direct", "float32", marks=pytest.mark.nightly), ("gemm", "int8"), ("winograd", "float32")],
)
def test_a_schedule_of_one_shape_is_fitted_to_another(algorithm: str, dtype: str) -> None:
    name, target = f"{algorithm}/dense", networks.target()
    other = program(target, OTHER, name, dtype=dtype)
    inputs = inputs_of(other)
    expected = floats(schedule_function(other, describe(target)), inputs)
    decisions = generated.search(function_of(name, dtype), target, 0).propose(3)
    fitted = [generated.transferred(other, target, json.loads(json.dumps(decision))) for decision in decisions]
    assert fitted[0] is not None
    assert json.loads(json.dumps(fitted)) == fitted
    error = np.abs(floats(generated.schedule(other, target, fitted[0]), inputs) - expected).max()
    assert error <= ERROR[dtype] * np.abs(expected).max()
    search = generated.search(other, target, 0)
    for index, decision in enumerate(fitted):
        search.learn(decision, 1e-3 * (1 + index))
    assert len(search.propose(8)) == 8, "what was fitted is in the population of the search"
    own = function_of(name, dtype)
    assert tvm_ffi.structural_equal(
        generated.schedule(own, target, generated.transferred(own, target, decisions[0])),
        generated.schedule(own, target, decisions[0]),
    )


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
