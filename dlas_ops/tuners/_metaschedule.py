"""Tensor program → schedules that MetaSchedule's evolutionary search generates for it, a batch at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.targets import describe
from dlas_ops.tuners._cost import CostModel
from dlas_ops.tuners._rules import around_sums, in_whole_vectors, instructions, rules

# To schedule one candidate takes 15 ms and to read its features as long: with the defaults, 512 and 4, a batch takes
# 20 s. With these, one of 8 takes 1.3 s of processor time and, with the cost model, 2.2 s.
POPULATION = 32
GENERATIONS = 1

# Of a first population, so many are drawn from the rules; by default 50.
NEW_ONES = 8

UNUSED = "tvm.s_tir.tensor_intrin"

_LOGGER = logging.getLogger("dlas_ops.tuners")
_LOGGER.setLevel(logging.ERROR)  # else it tells of every batch


@contextmanager
def without_intrinsics() -> Iterator[None]:
    """Keep TVM from importing intrinsics that we do not use.

    `TuneContext` of TVM 0.27 imports those of every processor, each parsed from its source: 20 to 50 s in a process.
    """
    missing = UNUSED not in sys.modules
    if missing:
        sys.modules[UNUSED] = ModuleType(UNUSED)
    try:
        yield
    finally:
        if missing:
            del sys.modules[UNUSED]


class Generator:
    """MetaSchedule's context of a program that reduces, its database and its cost model, kept between batches."""

    def __init__(self, function: Any, target: Any, seed: int) -> None:
        from tvm.s_tir import meta_schedule as ms

        self._function = function
        self._instructions = instructions(function, describe(target))
        strategy = ms.search_strategy.EvolutionarySearch(
            population_size=POPULATION, init_min_unmeasured=NEW_ONES, genetic_num_iters=GENERATIONS
        )
        self._context = _context(function, target, seed, rules(function, target), strategy)
        self._model = CostModel(self._context, seed)
        self._database = ms.database.MemoryDatabase()
        self._workload = self._database.commit_workload(self._context.mod)
        self._started = False

    def batch(self, size: int) -> list[Any]:
        """Return at most `size` schedules; the first call's size is that of all."""
        if not self._started:
            self._started = True
            spaces = self._context.generate_design_space()
            self._context.pre_tuning(2**31 - 1, size, spaces, self._database, self._model.handle)
        found = [candidate.sch for candidate in self._context.generate_measure_candidates() or []]
        for sch in found if self._instructions else ():
            in_whole_vectors(sch, self._function)
        return found

    def learn(self, sch: Any, seconds: float | None) -> None:
        """Take in what a schedule was measured at, None if it failed; the fastest are in the next population."""
        from tvm.s_tir import meta_schedule as ms

        arguments = ms.arg_info.ArgInfo.from_prim_func(self._context.mod["main"])
        self._model.learn(ms.search_strategy.MeasureCandidate(sch, arguments), seconds)
        if seconds is not None:
            record = ms.database.TuningRecord(sch.trace, self._workload, [seconds], self._context.target, arguments)
            self._database.commit_tuning_record(record)


class Sampler:
    """Random draws from MetaSchedule's rules for what lies around the sums of a program, whose loops are given."""

    def __init__(self, function: Any, target: Any, seed: int) -> None:
        from tvm.s_tir import meta_schedule as ms

        strategy = ms.search_strategy.ReplayTrace()
        self._context = _context(function, target, seed, around_sums(function, target), strategy)
        self._started = False

    def batch(self, size: int) -> list[Any]:
        """Return at most `size` schedules; the first call's size is that of all."""
        from tvm.s_tir import meta_schedule as ms

        if not self._started:
            self._started = True
            spaces = self._context.generate_design_space()
            self._context.pre_tuning(2**31 - 1, size, spaces, ms.database.MemoryDatabase(), None)
        return [candidate.sch for candidate in self._context.generate_measure_candidates() or []][:size]


def _context(function: Any, target: Any, seed: int, space: Any, strategy: Any) -> Any:
    from tvm.s_tir import meta_schedule as ms

    with without_intrinsics():
        return ms.TuneContext(
            tvm.IRModule({"main": function}),
            target=_with_cores(target),
            space_generator=space,
            search_strategy=strategy,
            rand_state=seed % (2**31 - 2) + 1,
            num_threads=1,  # several would share out the random numbers as they happen to run
            logger=_LOGGER,
        )


def _with_cores(target: Any) -> Any:
    """Return `target` with its number of cores, which the rules ask for."""
    return tvm.target.Target({**target.export(), "num-cores": describe(target).cores})
