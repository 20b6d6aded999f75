"""Tensor program → schedules that MetaSchedule's evolutionary search generates for it, a batch at a time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import log2
from types import ModuleType

from dlas_ops._tvm import tvm
from dlas_ops._types import (
    Instruction,
    Loop,
    PrimFunc,
    Schedule,
    SearchStrategy,
    SpaceGenerator,
    Target,
    TuneContext,
)
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import describe
from dlas_ops.tuning.tuners import Decision
from dlas_ops.tuning.tuners._cost import CostModel
from dlas_ops.tuning.tuners._gpu_rules import gpu_rules, with_limits
from dlas_ops.tuning.tuners._rules import around_sums, in_whole_vectors, instructions, rules
from dlas_ops.tuning.tuners._traces import TILED, prepared, sampled

# To schedule one candidate takes 15 ms and to read its features as long: with the defaults, 512 and 4, a batch takes
# 20 s. With these, one of 8 takes 1.3 s of processor time and, with the cost model, 2.2 s.
POPULATION = 32
GENERATIONS = 1

# Times that none of a population drawn from the rules fits a GPU until it is smaller; by default 5.
MOST_FAILED = 20

# Of a first population, so many are drawn from the rules; by default 50.
NEW_ONES = 8

UNUSED = "tvm.s_tir.tensor_intrin"

_LOGGER = logging.getLogger("dlas_ops.tuning.tuners")
_LOGGER.setLevel(logging.ERROR)  # else it tells of every batch


@contextmanager
def without_intrinsics() -> Iterator[None]:
    """Keep TVM from importing intrinsics that we do not use.

    `TuneContext` of TVM 0.27 imports those of every processor, each parsed from its source: 20 to 50 s in a process.
    """
    # Workaround: TVM 0.27: a tuning context imports intrinsics that nobody asked for; tests/workarounds
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

    def __init__(self, function: PrimFunc, target: Target, seed: int) -> None:
        from tvm.s_tir import meta_schedule as ms

        self._function, self._target = function, target
        strategy = ms.search_strategy.EvolutionarySearch(
            population_size=POPULATION, init_min_unmeasured=NEW_ONES, max_fail_count=MOST_FAILED,
            genetic_num_iters=GENERATIONS,
        )  # fmt: skip
        self._context = _context(prepared(function, target), target, seed, _rules(function, target), strategy)
        self._model = CostModel(self._context, seed)
        self._database = ms.database.MemoryDatabase()
        self._workload = self._database.commit_workload(self._context.mod)
        self._started = False

    def batch(self, size: int) -> list[Schedule]:
        """Return at most `size` schedules; the first call's size is that of all."""
        if not self._started:
            self._started = True
            spaces = self._context.generate_design_space()
            self._context.pre_tuning(2**31 - 1, size, spaces, self._database, self._model.handle)
        found = [candidate.sch for candidate in self._context.generate_measure_candidates() or []]
        for sch in found:
            _finish(sch, self._function, self._target)
        return found

    def learn(self, sch: Schedule, seconds: float | None) -> None:
        """Take in what a schedule was measured at, None if it failed; the fastest are in the next population."""
        from tvm.s_tir import meta_schedule as ms

        arguments = ms.arg_info.ArgInfo.from_prim_func(self._context.mod["main"])
        self._model.learn(ms.search_strategy.MeasureCandidate(sch, arguments), seconds)
        if seconds is not None:
            record = ms.database.TuningRecord(sch.trace, self._workload, [seconds], self._context.target, arguments)
            self._database.commit_tuning_record(record)


def adapted(function: PrimFunc, target: Target, steps: Decision) -> Schedule | None:
    """Return a schedule of `function` by the `steps` of another one's, with tiles that are nearest to theirs, or None.

    What is tiled stays, and where copies are placed; what runs in parallel and in vectors is made anew of the loops
    that come of it. To replay the steps, a tile that does not divide its loop would become all of that loop.

    Raises
    ------
    ValueError
        If the steps do not fit `function`.
    """
    from tvm.s_tir import meta_schedule as ms

    applied, tiles = sampled(function, target, steps)
    strategy = ms.search_strategy.ReplayTrace()
    context = _context(prepared(function, target), target, 0, _rules(function, target), strategy)
    left = iter(tiles)

    def decide(step: Instruction, inputs: Sequence[Loop], attributes: Sequence[int], decision: Decision) -> Decision:
        if str(step.kind.name) != TILED:
            return decision
        return nearest_tiles(int(sch.get(inputs[0]).extent), next(left), int(attributes[1]))

    sch = tvm.s_tir.Schedule(context.mod)
    applied.trace.apply_to_schedule(sch, remove_postproc=True, decision_provider=decide)
    sch.enter_postproc()  # so that who replays the trace knows what follows from what was drawn
    if not all(step.apply(sch) for step in context.space_generator.postprocs):
        return None
    _finish(sch, function, target)
    return sch


def _rules(function: PrimFunc, target: Target) -> SpaceGenerator:
    processor = describe(target)
    return gpu_rules(function, processor) if isinstance(processor, Gpu) else rules(function, target)


def _finish(sch: Schedule, function: PrimFunc, target: Target) -> None:
    """Add to what the rules made of `function` what they have no step for."""
    processor = describe(target)
    if not isinstance(processor, Gpu) and instructions(function, processor):
        in_whole_vectors(sch, function)


def nearest_tiles(extent: int, tiles: Sequence[int], most: int) -> list[int]:
    """Return factors of `extent` that are nearest to `tiles`, as ratios and from the innermost one, at most `most`.

    The outermost one is what is left.
    """
    found: list[int] = []
    for tile in reversed(tiles[1:]):
        limit = extent if found else most
        factors = [factor for factor in range(1, min(extent, limit) + 1) if extent % factor == 0]
        found.append(min(factors, key=lambda factor: abs(log2(factor / tile))))
        extent //= found[-1]
    return [extent, *reversed(found)]


class Sampler:
    """Random draws from MetaSchedule's rules for what lies around the sums of a program, whose loops are given."""

    def __init__(self, function: PrimFunc, target: Target, seed: int) -> None:
        from tvm.s_tir import meta_schedule as ms

        strategy = ms.search_strategy.ReplayTrace()
        self._context = _context(function, target, seed, around_sums(function, target), strategy)
        self._started = False

    def batch(self, size: int) -> list[Schedule]:
        """Return at most `size` schedules; the first call's size is that of all."""
        from tvm.s_tir import meta_schedule as ms

        if not self._started:
            self._started = True
            spaces = self._context.generate_design_space()
            self._context.pre_tuning(2**31 - 1, size, spaces, ms.database.MemoryDatabase(), None)
        return [candidate.sch for candidate in self._context.generate_measure_candidates() or []][:size]


def _context(
    function: PrimFunc, target: Target, seed: int, space: SpaceGenerator, strategy: SearchStrategy
) -> TuneContext:
    from tvm.s_tir import meta_schedule as ms

    with without_intrinsics():
        return ms.TuneContext(
            tvm.IRModule({"main": function}),
            target=_with_limits(target),
            space_generator=space,
            search_strategy=strategy,
            rand_state=seed % (2**31 - 2) + 1,
            num_threads=1,  # several would share out the random numbers as they happen to run
            logger=_LOGGER,
        )


def _with_limits(target: Target) -> Target:
    """Return `target` with its number of cores or what a work-group may take, which the rules ask for."""
    processor = describe(target)
    if isinstance(processor, Gpu):
        return with_limits(target, processor)
    return tvm.target.Target({**target.export(), "num-cores": describe_cpu(target).cores})
