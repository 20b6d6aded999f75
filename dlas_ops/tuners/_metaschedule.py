"""Tensor program → MetaSchedule's context: the rules that generate its schedules, and the search through them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.targets import describe

# The outer loop over spatial tiles runs in parallel; sums are held in the tile that the innermost reduction passes
# through; their epilogue follows tile by tile, in one of these two levels.
STRUCTURE = "SSRSRS"
EPILOGUE_LEVELS = [1, 2]

MOST_TASKS_PER_CORE = 16
MOST_INNERMOST = 64
UNROLLED_STEPS = [0, 16, 64, 512]

# The defaults, 512 and 4, need 20 s to propose a batch.
POPULATION = 64
GENERATIONS = 2

# Of the 50 by default, so many candidates of a first population must be new ones.
NEW_ONES = 16

_LOGGER = logging.getLogger("dlas_ops.tuners")
_UNUSED = "tvm.s_tir.tensor_intrin"


@contextmanager
def without_intrinsics() -> Iterator[None]:
    """Keep TVM from importing intrinsics that we do not use.

    `TuneContext` of TVM 0.27 imports those of every processor, each parsed from its source: 20 to 50 s in a process.
    """
    missing = _UNUSED not in sys.modules
    if missing:
        sys.modules[_UNUSED] = ModuleType(_UNUSED)
    try:
        yield
    finally:
        if missing:
            del sys.modules[_UNUSED]


def context(function: Any, target: Any, seed: int) -> Any:
    """Return the tuning context of `function`, always the same for a `seed`."""
    from tvm.s_tir import meta_schedule as ms

    _LOGGER.setLevel(logging.ERROR)
    strategy = ms.search_strategy.EvolutionarySearch(
        population_size=POPULATION, init_min_unmeasured=NEW_ONES, genetic_num_iters=GENERATIONS
    )
    with without_intrinsics():
        return ms.TuneContext(
            tvm.IRModule({"main": function}),
            target=_with_cores(target),
            space_generator=_rules(target),
            search_strategy=strategy,
            rand_state=seed % (2**31 - 1) + 1,
            num_threads=1,  # several share out the random numbers as they happen to run
            logger=_LOGGER,
        )


def _with_cores(target: Any) -> Any:
    """Return `target` with its number of cores, which the rules ask for."""
    return tvm.target.Target({**target.export(), "num-cores": describe(target).cores})


def _rules(target: Any) -> Any:
    """Return MetaSchedule's rules for processors, but that sums are of whole vectors and followed by their epilogue.

    Weights are packed by the algorithm, so no rule lays them out anew.
    """
    from tvm.s_tir import meta_schedule as ms

    rule, mutator, postproc = ms.schedule_rule, ms.mutator, ms.postproc
    cpu = describe(target)
    rules = [
        rule.AutoInline(
            into_producer=False, into_consumer=True, inline_const_tensor=True, disallow_if_then_else=True,
            require_injective=True, require_ordered=True,
        ),
        rule.AddRFactor(max_jobs_per_core=MOST_TASKS_PER_CORE, max_innermost_factor=MOST_INNERMOST),
        rule.MultiLevelTilingWideVector(
            STRUCTURE, cpu.vector_bits, max_innermost_factor=MOST_INNERMOST,
            reuse_write=rule.ReuseType("must", EPILOGUE_LEVELS, "global"),
        ),
        rule.ParallelizeVectorizeUnroll(
            max_jobs_per_core=MOST_TASKS_PER_CORE, max_vectorize_extent=MOST_INNERMOST,
            unroll_max_steps=UNROLLED_STEPS, unroll_explicit=True,
        ),
        rule.RandomComputeLocation(),
    ]  # fmt: skip
    postprocs = [
        postproc.DisallowDynamicLoop(),
        postproc.RewriteParallelVectorizeUnroll(),
        postproc.RewriteReductionBlock(),
    ]
    mutators = {
        mutator.MutateTileSize(): 0.9,
        mutator.MutateComputeLocation(): 0.05,
        mutator.MutateUnroll(): 0.03,
        mutator.MutateParallel(MOST_TASKS_PER_CORE): 0.02,
    }
    return ms.space_generator.PostOrderApply(sch_rules=rules, postprocs=postprocs, mutator_probs=mutators)


def database(context: Any) -> tuple[Any, Any]:
    """Return a database in memory, and in it the workload of `context`."""
    from tvm.s_tir import meta_schedule as ms

    empty = ms.database.MemoryDatabase()
    return empty, empty.commit_workload(context.mod)


def commit(database: Any, workload: Any, sch: Any, seconds: float, context: Any) -> None:
    """Add what a schedule was measured at: the fastest are among the next population."""
    from tvm.s_tir import meta_schedule as ms

    arguments = ms.arg_info.ArgInfo.from_prim_func(context.mod["main"])
    record = ms.database.TuningRecord(sch.trace, workload, [seconds], context.target, arguments)
    database.commit_tuning_record(record)
