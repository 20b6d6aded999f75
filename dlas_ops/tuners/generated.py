"""Schedules that MetaSchedule's rules generate for an algorithm's computation, searched by evolution.

A decision is the trace of a schedule: its steps, and what was drawn in them.

Source: Shao et al., "Tensor Program Optimization with Probabilistic Programs", NeurIPS 2022.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops.permutation import marked
from dlas_ops.targets import describe
from dlas_ops.tuners import Decision
from dlas_ops.tuners._metaschedule import Generator
from dlas_ops.tuners._rules import blocks_of, instructions, reductions

# What the search generates at a time.
BATCH = 8

# One after the other without a new schedule: the search has been through what it finds.
EMPTY_BATCHES = 3


def supports(function: Any, target: Any) -> str | None:
    """Return why there is nothing to try for `function`, or None."""
    if any(not isinstance(block.body, tvm.tirx.BufferStore) for block in blocks_of(function)):
        return "MetaSchedule's rules see no loops in sums over rows of CSR weights, whose lengths are data"
    return None if reductions(function) else "it reduces nothing"


def schedule(function: Any, target: Any, decision: Decision) -> Any:
    """Return `function`, scheduled as the trace `decision` says.

    Raises
    ------
    ValueError
        If `decision` is no trace, or one of another function.
    """
    return marked(_replayed(function, target, decision).mod["main"])


def transferred(function: Any, target: Any, decision: Decision) -> Decision | None:
    """Return `decision` if its steps fit `function`, too, or None: its tiles are factors of its own loops."""
    try:
        schedule(function, target, decision)
    except ValueError:
        return None
    return decision


def _replayed(function: Any, target: Any, decision: Decision) -> Any:
    instructions(function, describe(target))
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
    """MetaSchedule's evolutionary search: its populations are drawn from the rules and the fastest ones learned."""

    def __init__(self, function: Any, target: Any, seed: int) -> None:
        self._function, self._target = function, target
        self._known: set[int] = set()
        self._queue: deque[Decision] = deque()
        self._generator = None if supports(function, target) else Generator(function, target, seed)

    def propose(self, count: int) -> list[Decision]:
        """Return at most `count` schedules that were neither proposed nor learned before."""
        empty = 0
        while self._generator and len(self._queue) < count and empty < EMPTY_BATCHES:
            new = [sch for sch in self._generator.batch(BATCH) if self._is_new(sch)]
            self._queue += [_plain(sch.trace.as_json()) for sch in new]
            empty = 0 if new else empty + 1
        return [self._queue.popleft() for _ in range(min(count, len(self._queue)))]

    def _is_new(self, sch: Any) -> bool:
        """Tell whether the program that `sch` makes is not known, and keep it in mind."""
        hashed = tvm_ffi.structural_hash(sch.mod)
        new = hashed not in self._known
        self._known.add(hashed)
        return new

    def learn(self, decision: Decision, seconds: float | None) -> None:
        """Take in what a schedule was measured at, None if it failed; one that does not fit teaches nothing."""
        try:
            sch = _replayed(self._function, self._target, decision)
        except ValueError:
            return
        self._is_new(sch)
        if self._generator:
            self._generator.learn(sch, seconds)
