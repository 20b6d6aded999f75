"""Schedules that MetaSchedule's rules generate for an algorithm's computation, searched by evolution.

A decision is the trace of a schedule: its steps, and what was drawn in them.

Source: Shao et al., "Tensor Program Optimization with Probabilistic Programs", NeurIPS 2022.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops.permutation import marked
from dlas_ops.tuners import Decision, _metaschedule
from dlas_ops.tuners._cost import CostModel

# One after the other without a new schedule: the search has been through what it finds.
EMPTY_BATCHES = 3


def supports(function: Any, target: Any) -> str | None:
    """Return why there is nothing to try for `function`, or None."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    blocks = [sch.get(block) for block in sch.get_child_blocks(sch.get_sblock("root"))]
    if any(not isinstance(block.body, tvm.tirx.BufferStore) for block in blocks):
        return "MetaSchedule's rules see no loops in sums over rows of CSR weights, whose lengths are data"
    if not any(axis.iter_type == tvm.tirx.IterVar.CommReduce for block in blocks for axis in block.iter_vars):
        return "it sums nothing"
    return None


def schedule(function: Any, target: Any, decision: Decision) -> Any:
    """Return `function`, scheduled as the trace `decision` says.

    Raises
    ------
    ValueError
        If `decision` is no trace, or one of another function.
    """
    return marked(_replayed(function, decision).mod["main"])


def transferred(function: Any, target: Any, decision: Decision) -> Decision | None:
    """Return None: a trace's tile sizes are products of the extents of its own program's loops."""
    return None


def _replayed(function: Any, decision: Decision) -> Any:
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    try:
        tvm.s_tir.schedule.Trace.apply_json_to_schedule(decision, sch)
    except (TypeError, ValueError, IndexError, RuntimeError, tvm.s_tir.ScheduleError) as error:
        raise ValueError(f"the trace does not fit the function: {error}") from error
    return sch


def _plain(value: Any) -> Any:
    """Return a trace's `value` without TVM's own numbers, texts and lists."""
    match value:
        case str():
            return str(value)
        case tvm.tirx.IntImm():
            return int(value.value)
        case tvm.tirx.FloatImm():
            return float(value.value)
        case _ if hasattr(value, "__iter__"):
            return [_plain(item) for item in value]
        case _:
            return value


def search(function: Any, target: Any, seed: int) -> GeneratedSearch:
    """Return the search through the schedules that the rules generate for `function`."""
    return GeneratedSearch(function, target, seed)


class GeneratedSearch:
    """MetaSchedule's evolutionary search.

    Its population is drawn from the rules' schedules and from the fastest ones learned.
    """

    def __init__(self, function: Any, target: Any, seed: int) -> None:
        self._function, self._target = function, target
        self._known: set[int] = set()
        self._queue: deque[Decision] = deque()
        self._context: Any = None
        if supports(function, target) is None:
            self._context = _metaschedule.context(function, target, seed)
            self._model = CostModel(seed)
            self._database, self._workload = _metaschedule.database(self._context)
            self._started = False

    def propose(self, count: int) -> list[Decision]:
        """Return at most `count` schedules that were neither proposed nor learned before."""
        empty = 0
        while self._context and len(self._queue) < count and empty < EMPTY_BATCHES:
            before = len(self._queue)
            self._generate(count)
            empty = empty + 1 if len(self._queue) == before else 0
        return [self._queue.popleft() for _ in range(min(count, len(self._queue)))]

    def _generate(self, count: int) -> None:
        """Queue a batch of new schedules; the first batch's size is that of all."""
        if not self._started:
            self._started = True
            spaces = self._context.generate_design_space()
            self._context.pre_tuning(2**31 - 1, count, spaces, self._database, self._model.handle)
        for candidate in self._context.generate_measure_candidates() or []:
            if self._is_new(candidate.sch.mod):
                self._queue.append(_plain(candidate.sch.trace.as_json()))

    def _is_new(self, module: Any) -> bool:
        """Tell whether the scheduled `module` was neither proposed nor learned, and keep it in mind."""
        hashed = tvm_ffi.structural_hash(module)
        new = hashed not in self._known
        self._known.add(hashed)
        return new

    def learn(self, decision: Decision, seconds: float | None) -> None:
        """Take in what a schedule was measured at, None if it failed."""
        if self._context is None:
            return
        sch = _replayed(self._function, decision)
        self._known.add(tvm_ffi.structural_hash(sch.mod))
        self._model.learn(self._context, sch, math.inf if seconds is None else seconds)
        if seconds is not None:
            _metaschedule.commit(self._database, self._workload, sch, seconds, self._context)
