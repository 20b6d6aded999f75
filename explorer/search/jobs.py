"""The line's next stage that neither store nor records have → a job: an execution that configurations wait for."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from explorer.core.artifact import Artifact, V
from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement.sessions import Estimate
from explorer.engines.engine import Engine
from explorer.line import contracts
from explorer.line.stage import A, P, Stage, Target

# Of an execution: the stage's key and the device that it occupies, if it does.
Key = tuple[str, str]


@dataclass(frozen=True)
class Job:
    """An execution that configurations lack.

    Parameters
    ----------
    stage
        Its name.
    queue
        The kind of worker that it occupies or, while it measures, the device.
    """

    key: Key
    stage: str
    queue: str
    execute: Callable[[], object]


class Lacking(Exception):
    """Stops the line at an execution whose result is not there."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.key)
        self.job = job


class Known:
    """An engine that executes nothing: it raises `Lacking` instead, or the failure of an execution that failed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._artifacts: dict[str, Artifact] = {}
        self.failures: dict[Key, Failure] = {}
        self.outside, self.lanes = engine.outside, engine.lanes
        self.target, self.identity = engine.target, engine.identity

    @property
    def host(self) -> Target:
        """The TVM target of the machine that stages run on."""
        return self._engine.host

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        """Return the stage's artifact from the store; raise `Lacking` where it is not there."""
        if artifact := self._look(stage):
            return artifact
        if equivalent is None:
            raise self._lacking(stage, "", lambda: self._engine.run(stage))
        parents = equivalent()
        raise self._lacking(stage, "", lambda: self._engine.run(stage, lambda: parents))

    def select(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.select.Values]:
        """Return the stage's artifact likewise."""
        if artifact := self._look(stage):
            return artifact
        raise self._lacking(stage, device, lambda: self._engine.select(stage, device))

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        """Return the stage's artifact likewise."""
        if artifact := self._look(stage):
            return artifact
        raise self._lacking(stage, device, lambda: self._engine.tune(stage, device))

    def confirm(self, stage: contracts.confirm.Stage, device: str) -> Artifact[contracts.confirm.Values]:
        """Return the stage's artifact likewise."""
        if artifact := self._look(stage):
            return artifact
        raise self._lacking(stage, device, lambda: self._engine.confirm(stage, device))

    def profile(self, stage: contracts.profile.Stage, device: str) -> Artifact[contracts.profile.Values]:
        """Return the stage's artifact likewise."""
        if artifact := self._look(stage):
            return artifact
        raise self._lacking(stage, device, lambda: self._engine.profile(stage, device))

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        """Return the latency on record; raise `Lacking` where there is none."""
        if latency := self._engine.known(stage, device):
            return latency
        raise self._lacking(stage, device, lambda: self._engine.measure(stage, device))

    def _look(self, stage: Stage[P, A, V]) -> Artifact[V] | None:
        key = stage.key
        if key not in self._artifacts and (artifact := self._engine.look(stage)):
            self._artifacts[key] = artifact
        return self._artifacts.get(key)

    def _lacking(self, stage: Stage, device: str, execute: Callable[[], object]) -> Exception:
        key = stage.key, device
        if key in self.failures:
            return StageFailed(self.failures[key])
        return Lacking(Job(key, stage.name, device or stage.worker, execute))


class JobQueue:
    """Jobs for one kind of worker or one device: the one that most configurations wait for comes first."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._heap: list[tuple[int, int, Job]] = []
        self._order = count()
        self._begun: set[Key] = set()

    def put(self, job: Job, waiting: int) -> None:
        """Queue a job, or raise its rank if it is queued; one that has begun is left alone."""
        if job.key not in self._begun:
            heapq.heappush(self._heap, (-waiting, next(self._order), job))

    def take(self) -> Job | None:
        """Return the next job if there is one and a worker or the device is free for it."""
        if not self._free or not self.waiting:
            return None
        self._free -= 1
        job = heapq.heappop(self._heap)[2]
        self._begun.add(job.key)
        return job

    def give_back(self) -> None:
        """Say that a job has ended."""
        self._free += 1

    @property
    def waiting(self) -> bool:
        """Whether a job waits."""
        while self._heap and self._heap[0][2].key in self._begun:  # it had been queued with a lower rank, too
            heapq.heappop(self._heap)
        return bool(self._heap)
