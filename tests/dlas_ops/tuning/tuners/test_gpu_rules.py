"""Generated schedules for GPUs: within a work-group's limits, right on PoCL, and kernels that NVRTC compiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

import numpy as np
import pytest
import tvm_ffi
from hypothesis import given, settings

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, PrimFunc, Target
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.scheduling import schedule_function
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.work_groups import work_groups
from dlas_ops.processor.gpus import describe_gpu
from dlas_ops.processor.targets import describe
from dlas_ops.tuning.tuners import Decision, generated
from tests.conftest import Once
from tests.dlas_ops import cuda, opencl, shapes
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.tensor_programs import program
from tests.dlas_ops.tuning.tuners.tunable_programs import function_of, inputs_of

# Of the largest output: float32 sums in another order.
ERROR = {"float32": 1e-5, "int8": 0}
ALGORITHMS = ["direct/dense", "gemm/dense", "spatial_pack/dense", "winograd/dense"]
OTHERS = ["depthwise", "grouped", "dense", "max", "avg", "mean"]
EVERY = [
    *((name, dtype) for name in [*ALGORITHMS[:3], *OTHERS] for dtype in ("float32", "int8")),
    ("winograd/dense", "float32"),
]
# What the rules do differently: bytes are added by fours, an algorithm's own kernels stand around the sums, threads add
# their parts, a work-group is one thread.
SOME = [
    ("direct/dense", "int8", "mali"), ("winograd/dense", "float32", "mali"), ("mean", "float32", "mali"),
    ("direct/dense", "float32", "pocl"),
]  # fmt: skip


# So many schedules of a layer are proposed for the tests that share them; of a mean there are no more than three.
SHARED = 4
SHARED_OF_MEAN = 2


class Proposed(Protocol):
    """Proposes schedules of the layer `name`, once for all tests that ask for them."""

    def __call__(self, name: str, dtype: str, target: Target) -> list[Decision]:
        """Return the first decisions of a search, as JSON gives them back."""


@pytest.fixture(scope="session")
def proposed(once: Once) -> Proposed:
    """Return a function that proposes schedules, and searches once for each layer and target: that takes seconds."""

    def propose(name: str, dtype: str, target: Target) -> list[Decision]:
        count = SHARED_OF_MEAN if name == "mean" else SHARED
        key = sha256(f"{name} {dtype} {target}".encode()).hexdigest()
        text = once.made(f"schedules {key}", lambda folder: json.dumps(searched(name, dtype, target, count)))
        found: list[Decision] = json.loads(text)
        return found

    return propose


def searched(name: str, dtype: str, target: Target, count: int) -> list[Decision]:
    """Return the first decisions of a search."""
    found = generated.search(function_of(name, dtype, target=target), target, 0).propose(count)
    assert len(found) == count
    return found


def computed(function: PrimFunc, target: Target, inputs: list[Array]) -> Array:
    """Return what a scheduled `function` computes, in a dtype in which differences of integers do not wrap around."""
    return opencl.device().call(function, target, inputs)[0].astype(np.float64)


def compare(name: str, dtype: str, target: Target, decisions: Sequence[Decision]) -> None:
    """Hold what proposed schedules compute against what the rule-based one does."""
    function = function_of(name, dtype, target=target)
    assert generated.supports(function, target) is None
    inputs = inputs_of(function)
    expected = computed(schedule_function(function, describe(target)), target, inputs)
    assert len(np.unique(expected)) > 20
    for decision in decisions:
        found = computed(generated.schedule(function, target, decision), target, inputs)
        assert np.abs(found - expected).max() <= ERROR[dtype] * np.abs(expected).max()


@pytest.mark.parametrize(("name", "dtype", "family"), SOME)
def test_proposed_schedules_compute_what_the_rule_based_one_does(
    name: str, dtype: str, family: str, proposed: Proposed
) -> None:
    target = opencl.target(family)
    compare(name, dtype, target, proposed(name, dtype, target)[:1])


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "dtype"), EVERY)
@pytest.mark.parametrize("family", opencl.FAMILIES)
def test_so_do_schedules_of_every_layer_for_every_family(family: str, name: str, dtype: str) -> None:
    target = opencl.target(family)
    compare(name, dtype, target, searched(name, dtype, target, 3))


@pytest.mark.nightly
@pytest.mark.parametrize("algorithm", ["direct", "gemm"])
def test_a_drawn_convolution_is_computed_as_by_the_rules(algorithm: str) -> None:
    target = opencl.target("pocl")

    @settings(shapes.SETTINGS, max_examples=4)
    @given(shapes.convolutions(algorithm))
    def check(conv: Conv) -> None:
        if Asked(algorithm).why_not(conv, "float32", target):
            return
        function = program(target, conv, f"{algorithm}/dense")
        inputs = inputs_of(function)
        expected = computed(schedule_function(function, describe(target)), target, inputs)
        for decision in generated.search(function, target, 0).propose(1):
            found = computed(generated.schedule(function, target, decision), target, inputs)
            assert np.abs(found - expected).max() <= ERROR["float32"] * max(np.abs(expected).max(), 1e-30)

    check()


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("direct/dense", "float16"), ("direct/dense", "int8"), ("mean", "float32")],
)
def test_kernels_for_cuda_compile(name: str, dtype: str, proposed: Proposed) -> None:
    target = cuda.target("sm_87")
    function = function_of(name, dtype, target=target)
    for decision in proposed(name, dtype, target)[:2]:
        source = cuda.source_of(generated.schedule(function, target, decision), "sm_87")
        assert cuda.compiled(source, "sm_87")
        assert ("__dp4a(" in source) == (dtype == "int8")


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "dtype"), [*EVERY, *((name, "float16") for name in [*ALGORITHMS[:3], *OTHERS])])
def test_kernels_of_every_layer_compile_and_most_spill_nothing_in_loops(name: str, dtype: str) -> None:
    target = cuda.target("sm_87")
    function = function_of(name, dtype, target=target)
    made = [generated.schedule(function, target, decision) for decision in searched(name, dtype, target, 6)]
    spilling = [
        kernel for each in made for kernel in cuda.compiled(cuda.source_of(each, "sm_87"), "sm_87")
        if kernel.spills_in_loops
    ]  # fmt: skip
    assert len(spilling) <= 1


SMALL_GPU = {"max_threads_per_block": 32, "max_shared_memory_per_block": 4096}


def test_work_groups_stay_within_what_a_target_says_that_it_has(proposed: Proposed) -> None:
    target = opencl.target("adreno", **SMALL_GPU)
    gpu = describe_gpu(target)
    function = function_of("direct/dense", target=target)
    made = [generated.schedule(function, target, decision) for decision in proposed("direct/dense", "float32", target)]
    groups = [group for each in made for group in work_groups(each)]
    assert all(group.threads <= gpu.threads == 32 and group.shared_bytes <= 4096 for group in groups)
    assert any(group.shared_bytes for group in groups), "operands are brought to shared memory"
    assert len({group.threads for group in groups}) > 1


def test_a_schedule_of_a_larger_gpu_is_refused_before_it_is_built(proposed: Proposed) -> None:
    target, small = opencl.target("adreno"), opencl.target("adreno", **SMALL_GPU)
    function = function_of("direct/dense", target=target)
    reasons = []
    for decision in proposed("direct/dense", "float32", target):
        try:
            generated.schedule(function, small, decision)
        except ValueError as error:
            reasons.append(str(error))
    assert reasons
    assert all("and the GPU" in reason for reason in reasons)


def test_a_decision_is_the_same_again_and_what_was_learned_is_not_proposed(proposed: Proposed) -> None:
    target = opencl.target("adreno")
    function, decisions = function_of("direct/dense", target=target), proposed("direct/dense", "float32", target)
    search = generated.search(function, target, 0)
    for decision in decisions:
        search.learn(decision, 1e-3)
    made = [generated.schedule(function, target, each) for each in [*decisions, *search.propose(SHARED)]]
    assert len({tvm_ffi.structural_hash(each) for each in made}) == 2 * SHARED
    again = generated.schedule(function, target, decisions[0])
    assert tvm_ffi.structural_equal(made[0], again)


@pytest.mark.parametrize(("family", "name"), [("pocl", "direct/dense"), ("adreno", "max"), ("mali", "winograd/dense")])
def test_every_kernel_is_one_of_work_groups(family: str, name: str, proposed: Proposed) -> None:
    """A host that ran a loop itself would read the GPU's memory."""
    target = opencl.target(family)
    function = function_of(name, target=target)
    for decision in proposed(name, "float32", target)[:2]:
        sch = tvm.s_tir.Schedule(generated.schedule(function, target, decision))
        for block in sch.get_child_blocks(sch.get_sblock("root")):
            bound = [sch.get(loop).thread_binding for loop in sch.get_loops(block)]
            assert "blockIdx.x" in [str(axis.thread_tag) for axis in bound if axis is not None]
            assert sch.get(sch.get_loops(block)[0]).thread_binding is not None


@pytest.mark.parametrize("family", ["mali", pytest.param("cuda", marks=pytest.mark.nightly)])
def test_winograd_keeps_its_own_kernels_for_the_transforms(family: str, proposed: Proposed) -> None:
    target = cuda.target("sm_87") if family == "cuda" else opencl.target(family)
    function = function_of("winograd/dense", target=target)
    decision = proposed("winograd/dense", "float32", target)[0]
    assert len(work_groups(generated.schedule(function, target, decision))) == 3


@pytest.mark.parametrize("family", ["pocl", "adreno"])
def test_a_schedule_of_one_shape_is_fitted_to_another(family: str, proposed: Proposed) -> None:
    target = opencl.target(family)
    other = program(target, Conv(1, 48, 7, 10, 80, (3, 3), padding=(1, 1, 1, 1)), "direct/dense")
    decisions = proposed("direct/dense", "float32", target)
    fitted = [each for each in (generated.transferred(other, target, one) for one in decisions) if each is not None]
    assert fitted
    inputs = inputs_of(other)
    made = generated.schedule(other, target, json.loads(json.dumps(fitted[0])))
    expected = computed(schedule_function(other, describe(target)), target, inputs)
    networks.assert_close(computed(made, target, inputs), expected)


@pytest.mark.parametrize("kind", ["opencl", "cuda"])
def test_sums_over_csr_weights_have_nothing_to_try(kind: str) -> None:
    target = cuda.target("sm_87") if kind == "cuda" else opencl.target("pocl")
    function = function_of("direct/csr", target=target)
    assert "rows of weights" in (generated.supports(function, target) or "")
    assert generated.search(function, target, 0).propose(2) == []
