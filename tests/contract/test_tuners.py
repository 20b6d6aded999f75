"""The contract of a tuner; a new file in their folder is tested by being there."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import tvm_ffi

from dlas_ops._types import PrimFunc
from dlas_ops.kernels.scheduling import schedule_function
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import describe
from dlas_ops.tuning import tuners
from dlas_ops.tuning.tuners import Decision, Tuner, generated, template
from tests.conftest import Once
from tests.dlas_ops import opencl
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

# A type checker holds each module against the protocol here.
TUNERS: dict[str, Tuner] = {"generated": generated, "template": template}
PARTS = ("refuses", "supports", "search", "schedule", "transferred")
CONV = Conv(1, 16, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1))
TARGETS = {"cpu": named("x86-64-v3"), "gpu": opencl.target("adreno"), "cpu by opencl": opencl.target("pocl")}


@cache
def function(where: str) -> PrimFunc:
    return program(TARGETS[where], CONV, "direct/dense")


@pytest.fixture
def proposed(once: Once, name: str, where: str) -> list[Decision]:
    """Return what a search proposes first: a few decisions, and some more when it has learned these."""

    def made(folder: Path) -> list[Decision]:
        search = tuners.load(name).search(function(where), TARGETS[where], 3)
        first: list[Decision] = search.propose(2)
        for decision in first:
            search.learn(decision, 1e-3)
        return first + search.propose(2)

    return once.made(f"proposed by {name} for {where}", made)


def test_every_file_is_held_against_the_protocol() -> None:
    assert set(TUNERS) == set(tuners.implemented())


@pytest.mark.parametrize("name", tuners.implemented())
def test_every_tuner_has_what_is_asked_of_it(name: str) -> None:
    module = tuners.load(name)
    assert all(callable(getattr(module, part)) for part in PARTS)


@pytest.mark.parametrize("where", TARGETS)
@pytest.mark.parametrize("name", tuners.implemented())
class TestTuner:
    def test_proposes_schedules_that_are_no_other_and_not_the_rules(
        self, name: str, where: str, proposed: list[Decision]
    ) -> None:
        tuner = tuners.load(name)
        assert tuner.refuses(TARGETS[where]) is None
        assert tuner.supports(function(where), TARGETS[where]) is None
        assert len(proposed) == 4
        assert json.loads(json.dumps(proposed)) == proposed
        made = [tuner.schedule(function(where), TARGETS[where], decision) for decision in proposed]
        made.append(schedule_function(function(where), describe(TARGETS[where])))
        assert len({tvm_ffi.structural_hash(each) for each in made}) == len(made)

    def test_a_seed_and_a_decision_give_the_same_again(self, name: str, where: str, proposed: list[Decision]) -> None:
        tuner = tuners.load(name)
        assert tuner.search(function(where), TARGETS[where], 3).propose(2) == proposed[:2]
        one, other = (tuner.schedule(function(where), TARGETS[where], proposed[0]) for _ in range(2))
        assert tvm_ffi.structural_equal(one, other)

    def test_a_decision_fits_the_function_that_it_was_made_for(
        self, name: str, where: str, proposed: list[Decision]
    ) -> None:
        tuner, decision = tuners.load(name), proposed[0]
        fitted = tuner.transferred(function(where), TARGETS[where], decision)
        assert tvm_ffi.structural_equal(
            tuner.schedule(function(where), TARGETS[where], fitted),
            tuner.schedule(function(where), TARGETS[where], decision),
        )

    def test_refuses_what_is_no_decision(self, name: str, where: str) -> None:
        with pytest.raises(ValueError, match=r"not allowed|unknown tunable|does not fit"):
            tuners.load(name).schedule(function(where), TARGETS[where], {"tile": (99, 1, 1)})
