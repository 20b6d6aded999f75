"""A decision → the program that MetaSchedule's steps in it make of a tensor program."""

from __future__ import annotations

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc, Schedule, Target
from dlas_ops.kernels import scheduling
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import describe
from dlas_ops.tuning.tuners import Decision
from dlas_ops.tuning.tuners._gpu_rules import gpu_instructions, only_sums
from dlas_ops.tuning.tuners._rules import instructions
from dlas_ops.tuning.tuners.template import choice_of

# The parts of a decision on sums over CSR weights.
NEST, TRACE = "nest", "trace"

# Steps of a trace: one that draws the tiles of a loop, and the one before those that are made of what was drawn.
TILED, DRAWN = "SamplePerfectTile", "EnterPostproc"

# A search draws so many schedules at a time, and so many times in a row without a new one: all are known.
BATCH = 8
EMPTY_BATCHES = 3


class Known:
    """The programs that a search has proposed or learned."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def add(self, sch: Schedule) -> bool:
        """Keep the program that `sch` makes in mind; tell whether it is new."""
        hashed = tvm_ffi.structural_hash(sch.mod)
        new = hashed not in self._hashes
        self._hashes.add(hashed)
        return new


def replayed(function: PrimFunc, target: Target, decision: Decision) -> Schedule:
    """Return the schedule of `function` that `decision` says.

    Raises
    ------
    ValueError
        If `decision` is none, or one of another function.
    """
    program, trace = function, decision
    if scheduling.is_sparse(function):
        if not (isinstance(decision, dict) and set(decision) == {NEST, TRACE}):
            raise ValueError(f"the trace does not fit the function: it says no {NEST} and {TRACE}")
        program = scheduling.opened(function, describe_cpu(target), choice_of(decision[NEST]))
        trace = decision[TRACE]
    else:
        program = prepared(function, target)
    return _applied(program, trace)


def prepared(function: PrimFunc, target: Target) -> PrimFunc:
    """Return the program that a trace is of, with the instructions registered that the trace may name."""
    processor = describe(target)
    if isinstance(processor, Gpu):
        gpu_instructions(function, processor)
        return only_sums(function)
    instructions(function, processor)
    return function


def sampled(function: PrimFunc, target: Target, trace: Decision) -> tuple[Schedule, list[list[int]]]:
    """Return the schedule of `function` by those steps of `trace` that draw, and the tiles that these say.

    The schedule's own are other ones where a loop of `function` has no such factors.

    Raises
    ------
    ValueError
        If `trace` is none, or one of a function with other loops.
    """
    program = prepared(function, target)
    try:
        steps, decisions = trace
        end = next((index for index, step in enumerate(steps) if step[0] == DRAWN), len(steps))
        drawn = [(index, decision) for index, decision in decisions if index < end]
        tiles = [decision for index, decision in drawn if steps[index][0] == TILED]
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"the trace does not fit the function: {error}") from error
    return _applied(program, [steps[:end], drawn]), tiles


def _applied(function: PrimFunc, trace: Decision) -> Schedule:
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    try:
        tvm.s_tir.schedule.Trace.apply_json_to_schedule(trace, sch)
    except (TypeError, ValueError, IndexError, RuntimeError, tvm.s_tir.ScheduleError) as error:
        raise ValueError(f"the trace does not fit the function: {error}") from error
    return sch


def trace_of(sch: Schedule) -> Decision:
    """Return the steps of `sch` as plain JSON values."""
    return _plain(sch.trace.as_json())


def _plain(value: Decision) -> Decision:
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
