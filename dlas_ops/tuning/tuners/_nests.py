"""Sums over CSR weights: loops drawn from the template's tunables, and MetaSchedule's rules for all around them.

How long the rows of CSR weights are is data, so the rules see no loops there to tile. They place the sums among the
loops of what follows them, and the copies of the input among those of the sums; they inline, parallelise and vectorise.
"""

from __future__ import annotations

import json
from math import prod

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc, Schedule, Target
from dlas_ops.kernels import scheduling
from dlas_ops.kernels.sparse.tasks import copy_all_stretches
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.schedule.steps import extents, vectorize_last
from dlas_ops.tuning.tuners import Decision
from dlas_ops.tuning.tuners._metaschedule import Sampler
from dlas_ops.tuning.tuners._traces import BATCH, EMPTY_BATCHES, NEST, TRACE, Known, replayed, trace_of
from dlas_ops.tuning.tuners.template import TemplateSearch, choice_of, plain


class NestSearch:
    """Tries other loops for the fastest steps, and other steps for the fastest loops, by turns."""

    def __init__(self, function: PrimFunc, target: Target, seed: int) -> None:
        self._function, self._target, self._seed = function, target, seed
        self._name = scheduling.asked_schedule(function).partition("/")[0]
        self._cpu = describe_cpu(target)
        space = scheduling.space(function, self._cpu)
        self._nests = TemplateSearch(space, seed)
        self._rule = {name: plain(values[0]) for name, values in space.items()}
        self._best: tuple[float, Decision] | None = None
        self._fastest: dict[str, float] = {}
        self._samplers: dict[str, tuple[Sampler, int]] = {}
        self._known = Known()

    def propose(self, count: int) -> list[Decision]:
        """Return at most `count` schedules that were neither proposed nor learned before."""
        found: list[Decision] = []
        while len(found) < count:
            new = self._others((count - len(found) + 1) // 2)
            nest = self._best[1][NEST] if self._best else self._rule
            new += self._drawn(nest, count - len(found) - len(new))
            if not new:
                break
            found += new
        return found

    def _others(self, count: int) -> list[Decision]:
        """Return schedules of other loops by the steps of the best one known or, where those do not fit, drawn ones."""
        found = []
        for nest in self._nests.propose(count):
            decision = self._moved(nest)
            if decision is not None:
                found.append(decision)
                continue
            found += self._drawn(nest, 1)
        return found

    def _moved(self, nest: Decision) -> Decision | None:
        """Return a new schedule of the loops `nest` by the steps of the best one known, or None if there is none."""
        if self._best is None:
            return None
        decision = {NEST: nest, TRACE: self._best[1][TRACE]}
        try:
            sch = replayed(self._function, self._target, decision)
        except ValueError:
            return None
        _, tasks = self._sampler(nest)
        return decision if self._once(sch, tasks) and self._known.add(sch) else None

    def _sampler(self, nest: Decision) -> tuple[Sampler, int]:
        """Return what draws steps for the loops `nest`, and how many tasks these run."""
        key = json.dumps(nest, sort_keys=True)
        if key not in self._samplers:
            program = scheduling.opened(self._function, self._cpu, choice_of(nest))
            opened = tvm.s_tir.Schedule(tvm.IRModule({"main": program}))
            tasks = prod(extents(opened, opened.get_sblock(self._name)))
            self._samplers[key] = Sampler(program, self._target, self._seed), tasks
        return self._samplers[key]

    def _drawn(self, nest: Decision, count: int) -> list[Decision]:
        """Return at most `count` new schedules with the loops `nest`, their steps drawn from the rules."""
        sampler, tasks = self._sampler(nest)
        found: list[Decision] = []
        empty = 0
        while len(found) < count and empty < EMPTY_BATCHES:
            empty += 1
            for sch in sampler.batch(BATCH):
                if len(found) == count or not self._once(sch, tasks):
                    continue
                self._in_vectors(sch)
                if self._known.add(sch):
                    found.append({NEST: nest, TRACE: trace_of(sch)})
                    empty = 0
        return found

    def _once(self, sch: Schedule, tasks: int) -> bool:
        """Tell whether each task of the sums runs once, and not again for every loop of what follows."""
        return prod(extents(sch, sch.get_sblock(self._name))) == tasks

    def _in_vectors(self, sch: Schedule) -> None:
        """Vectorise what follows the sums, which have vectors of their own and can be in no vectorised loop.

        What repacks the input for them has lost its vectors where it was moved.
        """
        copy_all_stretches(sch, sch.get_sblock(self._name), self._cpu)
        for follower in sch.get_consumers(sch.get_sblock(self._name)):
            if sch.get(sch.get_loops(follower)[-1]).kind == tvm.tirx.ForKind.SERIAL:
                vectorize_last(sch, follower, self._cpu)

    def learn(self, decision: Decision, seconds: float | None) -> None:
        """Take in what a schedule was measured at, None if it failed; one that does not fit teaches nothing."""
        try:
            self._known.add(replayed(self._function, self._target, decision))
        except ValueError:
            return
        key = json.dumps(decision[NEST], sort_keys=True)
        if seconds is not None:
            self._fastest[key] = min(seconds, self._fastest.get(key, seconds))
            if self._best is None or seconds < self._best[0]:
                self._best = seconds, decision
        self._nests.learn(decision[NEST], self._fastest.get(key))
