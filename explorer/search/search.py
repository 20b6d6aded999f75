"""Space and workspace → ask, trial, tell until the study has its trials; resumes trials that were cut off."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol

from explorer.core import plugins, tools
from explorer.core.errors import ExplorerError, did_you_mean
from explorer.core.measurement import clocks
from explorer.engines import context
from explorer.engines.context import EngineContext
from explorer.engines.engine import Engine
from explorer.engines.workers import WorkersModule
from explorer.inputs import external
from explorer.line.trials import trial
from explorer.processes import temporary
from explorer.search import refinement, renewal
from explorer.search.optuna_study.study import Study
from explorer.search.trial_queue import TrialObserver, TrialQueue, Unfinished
from explorer.space.space import Space
from explorer.workspace import holding
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace


class Observer(context.Observer, TrialObserver, Protocol):
    """Hears how the study goes."""

    def begin(self, done: int, wanted: int) -> None:
        """`done` of `wanted` trials are on record."""


@dataclass(frozen=True)
class Summary:
    """How a run ended: trials on record, as they ended, and how many of them this run added.

    Parameters
    ----------
    exhausted
        Whether the space has no more trials, though fewer than asked for are on record.
    unfinished
        Trials that are not on record, since what surrounds their stages failed; the next run takes them up again.
    """

    study: str
    complete: int
    failed: int
    skipped: int
    added: int
    exhausted: bool
    unfinished: Sequence[Unfinished] = ()

    @property
    def ended(self) -> int:
        """How many trials are on record."""
        return self.complete + self.failed + self.skipped


@dataclass(frozen=True)
class Where:
    """Where stages run, and how many at once.

    Parameters
    ----------
    engine
        Name of a file in ``explorer/engines`` that brings workers.
    address
        Of a cluster's head; None without one.
    jobs
        How many trainings, and how many compilations beside them, run at once on this machine; None leaves that to its
        cores and GPUs.

    Raises
    ------
    ExplorerError
        For an unknown engine, for an address or jobs of one that takes none, and for jobs below 1.
    """

    engine: str = "local"
    address: str | None = None
    jobs: int | None = None

    def __post_init__(self) -> None:
        known = plugins.names("engine")
        if self.engine not in known:
            raise ExplorerError(f"unknown engine '{self.engine}'{did_you_mean(self.engine, known)}")
        if self.address is not None and not plugins.literal("engine", self.engine, "ADDRESSED", default=False):
            raise ExplorerError(f"engine {self.engine} takes no address, and '{self.address}' is one: add --engine ray")
        if self.jobs is not None and not plugins.literal("engine", self.engine, "TAKES_JOBS", default=False):
            raise ExplorerError(f"engine {self.engine} takes no jobs: its cores say how many stages run at once")
        if self.jobs is not None and self.jobs < 1:
            raise ExplorerError(f"jobs {self.jobs} is below 1")


HERE = Where()


def run(space: Space, workspace: Workspace, observer: Observer, where: Where = HERE) -> Summary:
    """Bring the study of `space` in `workspace` to the number of trials that the space asks for.

    One process at a time holds the workspace. Another one waits until it ends, and goes on if there is something left.

    Raises
    ------
    WorkspaceError
        If the workspace has a study of this name over another space.
    SpaceError
        If the files of a data set are not where they should be, or code of the user's own cannot be imported; nothing
        has been computed then.
    DeviceError
        If a device cannot be reached; nothing has been computed then.
    """
    with holding.opened(workspace, observer.note) as records:
        found = external.find(space, workspace)
        study = Study(space, workspace, records, found.digests())
        before, unfinished = sum(records.count(space.name)), list[Unfinished]()
        observer.begin(before, space.trials)
        wanted = max(0, space.trials - before) + study.untold
        if wanted or refinement.lacks_sessions(space, records) or renewal.edited(space, records):
            last = renewal.identities(space, records)
            with engine_of(space, workspace, records, found, observer, where) as engine:
                if renewal.renew(space, records, engine, observer) or renewal.identities(space, records) != last:
                    study = Study(space, workspace, records, found.digests())  # that goes on by today's latencies
                _note_beginning(study, observer)
                start = clocks.running()
                unfinished = _evaluate(study, engine, TrialQueue(study, engine.computing, observer, wanted))
                refinement.refine(space, records, engine, observer, clocks.running() - start)
        refinement.revise(space, records)  # a run that was killed may not have come to it
        ended = records.count(space.name)
        exhausted = sum(ended) + len(unfinished) < space.trials
        return Summary(space.name, *ended, sum(ended) - before, exhausted, unfinished)


def _note_beginning(study: Study, observer: Observer) -> None:
    """Tell the user where a sampler that learns begins with trials of earlier studies."""
    if study.warm and plugins.literal("sampler", study.space.sampler, "LEARNS", default=False):
        trials = f"{study.warm} trial{'s' if study.warm > 1 else ''}"
        observer.note(f"the sampler begins with {trials} of earlier studies in the workspace")


def engine_of(
    space: Space,
    workspace: Workspace,
    records: Records,
    found: external.ExternalInputs,
    observer: context.Observer,
    where: Where,
    devices: Sequence[str] | None = None,
) -> Engine:
    """Return the engine that runs the trials of `space`, after a check of everything that they take from outside.

    Parameters
    ----------
    devices
        The names of those that are needed; all of the space unless given.

    Raises
    ------
    SpaceError
        If some of that cannot be used.
    ExplorerError
        If a program that stages need is missing.
    """
    temporary.folder()  # refused before the first trial
    external.check(space, found, workspace)
    tools.check()
    store = Store(workspace.artifacts)
    store.clean()
    needed = {name: space.devices[name] for name in (space.device_names if devices is None else devices)}
    threads = max(choice for choice in space.axes["threads"].choices if isinstance(choice, int))
    narrow = {name: space.narrow_types(name) for name in needed}
    given = EngineContext(store, records, workspace.logs, found, needed, threads, observer, where.jobs, narrow)
    module: WorkersModule = plugins.load("engine", where.engine)
    return Engine(given, module.build(given, where.address))


def _evaluate(study: Study, engine: Engine, queue: TrialQueue) -> list[Unfinished]:
    """Evaluate configurations until there are no more, a few at a time, so that some compile while others train.

    Returns
    -------
    The trials that are left, since their surroundings failed.
    """

    def work() -> None:
        while (asked := queue.ask()) is not None:
            start = time.perf_counter()
            number, configuration = asked
            outcome = study.outcome(number) or trial.run(configuration, study.space.settings, engine, study.screen)
            queue.tell(asked, outcome, time.perf_counter() - start)

    with ThreadPoolExecutor(max_workers=engine.concurrency) as executor:
        workers = [executor.submit(work) for _ in range(engine.concurrency)]
        try:
            for worker in as_completed(workers):
                worker.result()
        except BaseException:
            queue.stop()
            engine.stop()  # threads that wait for a worker get none, or see it die, and end
            raise
    return queue.unfinished
