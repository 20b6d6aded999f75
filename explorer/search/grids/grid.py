"""Space and workspace → every configuration on record: an execution that several of them lack is done once for all.

An engine that only has the contents of store and records runs the line for each configuration, and stops it at the
first stage that they lack. Configurations that lack the same execution wait for it together. So one model trains while
another one compiles, in any order of the configurations, and the execution that most of them wait for comes first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, SpaceError, StageFailed
from explorer.core.measurement import clocks
from explorer.engines.engine import Engine
from explorer.inputs import external
from explorer.line.trials import trial
from explorer.search import refinement, renewal, search
from explorer.search.jobs import Job, JobQueue, Key, Known, Lacking
from explorer.search.optuna_study.study import Study
from explorer.search.search import HERE, Observer, Summary, Where
from explorer.search.trial_queue import Unfinished, settle
from explorer.space.space import Space
from explorer.workspace import holding
from explorer.workspace.workspace import Workspace


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a grid, each for a machine of its own.

    Neighbours in the grid's order share the most, so that a part is a run of them.

    Parameters
    ----------
    index
        From 1 to `of`.
    """

    index: int = 1
    of: int = 1

    @staticmethod
    def parse(text: str) -> Shard:
        """Return the shard that ``"i/n"`` names.

        Raises
        ------
        SpaceError
            If it names none.
        """
        index, _, of = text.partition("/")
        if not (index.isdecimal() and of.isdecimal() and 1 <= int(index) <= int(of)):
            raise SpaceError(f"shard '{text}' is not i/n with 1 <= i <= n, such as 1/4")
        return Shard(int(index), int(of))

    def configurations(self, space: Space) -> Iterator[Configuration]:
        """Yield the shard's configurations of `space`.

        Raises
        ------
        SpaceError
            If an axis is continuous.
        """
        return islice(space.configurations(), *self._bounds(space.count))

    def size(self, space: Space) -> int:
        """Return how many they are."""
        start, stop = self._bounds(space.count)
        return stop - start

    def _bounds(self, total: int) -> tuple[int, int]:
        return total * (self.index - 1) // self.of, total * self.index // self.of


ALL = Shard()


def run(space: Space, workspace: Workspace, observer: Observer, shard: Shard = ALL, where: Where = HERE) -> Summary:
    """Bring every configuration of `space`, or of a shard of it, on record; see `search.run` for errors."""
    with holding.opened(workspace, observer.note) as records:
        found = external.find(space, workspace)
        study = Study(space, workspace, records, found.digests())
        left = [_Pending(*each) for each in study.missing(shard.configurations(space))]
        before, unfinished = sum(records.count(space.name)), list[Unfinished]()
        observer.begin(shard.size(space) - len(left), shard.size(space))
        if left or refinement.lacks_sessions(space, records) or renewal.edited(space, records):
            with search.engine_of(space, workspace, records, found, observer, where) as engine:
                renewal.renew(space, records, engine, observer)
                start = clocks.running()
                unfinished = _Grid(study, engine, observer).run(left)
                refinement.refine(space, records, engine, observer, clocks.running() - start)
        refinement.revise(space, records)  # a run that was killed may not have come to it
        ended = records.count(space.name)
        return Summary(space.name, *ended, sum(ended) - before, exhausted=False, unfinished=unfinished)


@dataclass
class _Pending:
    """A configuration on its way down the line.

    Parameters
    ----------
    number
        Of its trial, where that was cut off.
    seconds
        That executions took for which it was the first to wait.
    """

    number: int | None
    configuration: Configuration
    seconds: float = 0.0


class _Grid:
    """Runs the jobs that configurations wait for, as many at once as there are workers and devices."""

    def __init__(self, study: Study, engine: Engine, observer: Observer) -> None:
        self._study, self._engine, self._observer = study, engine, observer
        self._known = Known(engine)
        self._unfinished: list[Unfinished] = []
        self._waiting: dict[Key, list[_Pending]] = {}
        self._running: dict[Future[tuple[float, Failure | None]], Job] = {}
        devices = study.space.device_names
        self._here = {name for name in devices if study.space.devices[name].is_here}
        sizes = {**engine.sizes, **dict.fromkeys(devices, 1)}
        self._queues = {name: JobQueue(size) for name, size in sizes.items()}
        self._size = sum(sizes.values())

    def run(self, pending: Sequence[_Pending]) -> list[Unfinished]:
        """Bring every one of `pending` on record; return those that are left since their surroundings failed."""
        with ThreadPoolExecutor(max_workers=self._size) as executor:
            try:
                for each in pending:
                    self._advance(each)
                while self._start(executor):
                    for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                        self._end(future)
            except BaseException:
                self._engine.stop()  # threads that wait for a worker see it die, and end
                raise
        return self._unfinished

    def _advance(self, pending: _Pending) -> None:
        """Run the line as far as it goes: to its end, or to an execution to wait for."""
        c = pending.configuration
        try:
            outcome = trial.run(c, self._study.space.settings, self._known)
        except Lacking as lacking:
            job = lacking.job
            waiting = self._waiting.setdefault(job.key, [])
            waiting.append(pending)
            self._queues[job.queue].put(job, len(waiting))
            return
        with self._engine.computing():
            number = self._study.begin(c) if pending.number is None else pending.number
            self._unfinished += settle(self._study, number, c, outcome, pending.seconds)
            self._observer.ended(number, c, outcome)

    def _start(self, executor: ThreadPoolExecutor) -> bool:
        """Start every job that has a free worker or device; tell whether any runs.

        A measurement on this machine's cores waits until there is nothing to compute on them.
        """
        for name, queue in self._queues.items():
            while not (name in self._here and self._computing) and (job := queue.take()):
                self._running[executor.submit(_timed, job)] = job
        return bool(self._running)

    @property
    def _computing(self) -> bool:
        kinds = self._engine.sizes
        return any(self._queues[kind].waiting for kind in kinds) or any(
            job.queue in kinds for job in self._running.values()
        )

    def _end(self, future: Future[tuple[float, Failure | None]]) -> None:
        """Take the configurations further that waited for an execution."""
        job = self._running.pop(future)
        self._queues[job.queue].give_back()
        seconds, failed = future.result()
        if failed:
            self._known.failures[job.key] = failed
        waiting = self._waiting.pop(job.key)
        waiting[0].seconds += seconds
        for pending in waiting:
            self._advance(pending)
        if job.key in self._waiting:
            raise RuntimeError(f"the result of {job.key[0]} is not there, though its execution did not fail")


def _timed(job: Job) -> tuple[float, Failure | None]:
    """Execute a job; return the seconds that it took and its failure, if it failed."""
    start = time.perf_counter()
    try:
        job.execute()
    except StageFailed as failed:
        return time.perf_counter() - start, failed.failure
    return time.perf_counter() - start, None
