"""Generated schedules: each computes what the rule-based one does, the same again, and is proposed once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops.candidates import programs
from dlas_ops.convolution import Conv
from dlas_ops.graph import Problem
from dlas_ops.pipeline import PIPELINE
from dlas_ops.scheduling import schedule_function
from dlas_ops.targets import describe
from dlas_ops.tuners import generated
from tests.dlas_ops import small_networks as networks

CONV = Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1))


def function_of(name: str, conv: Conv = CONV) -> Any:
    return programs(Problem(conv.operator, conv), networks.target())[name].function


def arguments_of(function: Any) -> list[networks.Array]:
    return [networks.random([int(size) for size in p.ty.shape]).astype(str(p.ty.dtype)) for p in function.params]


def ran(function: Any, arguments: list[networks.Array]) -> networks.Array:
    library = tvm.compile(tvm.IRModule({"main": function}), networks.target(), tir_pipeline=PIPELINE)
    held = [tvm.runtime.tensor(argument) for argument in arguments]
    library["main"](*held)
    return np.asarray(held[-1].numpy())


@pytest.mark.parametrize("name", ["direct/dense", "gemm/dense", "spatial_pack/dense"])
def test_a_proposed_schedule_computes_what_the_rule_based_one_does(name: str) -> None:
    function = function_of(name)
    search = generated.search(function, networks.target(), 0)
    arguments = arguments_of(function)
    expected = ran(schedule_function(function, describe(networks.target())), arguments)
    [decision] = search.propose(1)
    scheduled = generated.schedule(function, networks.target(), json.loads(json.dumps(decision)))
    networks.assert_close(ran(scheduled, arguments), expected, 1e-5)


def test_no_schedule_is_proposed_that_was_learned_and_a_decision_always_gives_the_same() -> None:
    function = function_of("spatial_pack/dense")
    decisions = generated.search(function, networks.target(), 0).propose(2)
    resumed = generated.search(function, networks.target(), 0)
    for decision in decisions:
        resumed.learn(decision, None)
    programs = [generated.schedule(function, networks.target(), d) for d in [*decisions, *resumed.propose(2)]]
    assert len({tvm_ffi.structural_hash(program) for program in programs}) == 4
    again = generated.schedule(function, networks.target(), decisions[0])
    assert tvm_ffi.structural_equal(again, programs[0])


def test_refuses_what_is_no_schedule_of_the_function() -> None:
    [decision] = generated.search(function_of("spatial_pack/dense"), networks.target(), 0).propose(1)
    wrong: Any
    for wrong in (decision, None, {}, [[], 1]):
        with pytest.raises(ValueError, match="the trace does not fit the function"):
            generated.schedule(function_of("gemm/dense"), networks.target(), wrong)
