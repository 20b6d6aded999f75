"""Schedules that MetaSchedule's rules generate for an algorithm's computation, searched by evolution.

A decision is the trace of a schedule: its steps, and what was drawn in them. For sums over CSR weights it is
``{"nest": tunables of their loops, "trace": …}``.

Source: Shao et al., "Tensor Program Optimization with Probabilistic Programs", NeurIPS 2022.
"""

from __future__ import annotations

from collections import deque

from dlas_ops._types import PrimFunc, Target
from dlas_ops.kernels import scheduling
from dlas_ops.passes.permutation import marked
from dlas_ops.passes.work_groups import excess
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import describe
from dlas_ops.tuning.tuners import Decision, Search, template
from dlas_ops.tuning.tuners._metaschedule import Generator, adapted
from dlas_ops.tuning.tuners._nests import NestSearch
from dlas_ops.tuning.tuners._programs import reductions
from dlas_ops.tuning.tuners._traces import BATCH, EMPTY_BATCHES, NEST, TRACE, Known, replayed, trace_of

SPARSE_ON_GPU = "how long its rows of weights are is data, and no rule for GPUs tiles loops over data"


def refuses(target: Target) -> str | None:
    """Return None: there are rules for every processor."""
    return None


def supports(function: PrimFunc, target: Target) -> str | None:
    """Return why there is nothing to try for `function`, or None."""
    if scheduling.is_sparse(function):
        return SPARSE_ON_GPU if isinstance(describe(target), Gpu) else None
    return None if reductions(function) else "it reduces nothing"


def schedule(function: PrimFunc, target: Target, decision: Decision) -> PrimFunc:
    """Return `function`, scheduled as `decision` says.

    Raises
    ------
    ValueError
        If `decision` is none, one of another function, or asks for more than a work-group of the GPU has.
    """
    made, processor = replayed(function, target, decision).mod["main"], describe(target)
    if isinstance(processor, Gpu) and (reason := excess(made, processor)):
        raise ValueError(reason)
    return marked(made)


def transferred(function: PrimFunc, target: Target, decision: Decision) -> Decision | None:
    """Return what `decision` is for `function`: its steps, with tiles that are factors of these loops, or None."""
    try:
        if not scheduling.is_sparse(function):
            sch = adapted(function, target, decision)
            return None if sch is None else trace_of(sch)
        nest = template.transferred(function, target, decision[NEST])
        if nest is None:
            return None
        decision = {NEST: nest, TRACE: decision[TRACE]}
        schedule(function, target, decision)
    except (KeyError, TypeError, ValueError):
        return None
    return decision


def search(function: PrimFunc, target: Target, seed: int) -> Search:
    """Return the search through the schedules that the rules generate for `function`."""
    if scheduling.is_sparse(function) and not supports(function, target):
        return NestSearch(function, target, seed)
    return GeneratedSearch(function, target, seed)


class GeneratedSearch:
    """MetaSchedule's evolutionary search: its populations are drawn from the rules and the fastest ones learned."""

    def __init__(self, function: PrimFunc, target: Target, seed: int) -> None:
        self._function, self._target = function, target
        self._known = Known()
        self._queue: deque[Decision] = deque()
        self._generator = None if supports(function, target) else Generator(function, target, seed)

    def propose(self, count: int) -> list[Decision]:
        """Return at most `count` schedules that were neither proposed nor learned before."""
        empty = 0
        while self._generator and len(self._queue) < count and empty < EMPTY_BATCHES:
            new = [sch for sch in self._generator.batch(BATCH) if self._known.add(sch)]
            self._queue += [trace_of(sch) for sch in new]
            empty = 0 if new else empty + 1
        return [self._queue.popleft() for _ in range(min(count, len(self._queue)))]

    def learn(self, decision: Decision, seconds: float | None) -> None:
        """Take in what a schedule was measured at, None if it failed; one that does not fit teaches nothing."""
        try:
            sch = replayed(self._function, self._target, decision)
        except ValueError:
            return
        self._known.add(sch)
        if self._generator:
            self._generator.learn(sch, seconds)
