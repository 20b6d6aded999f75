"""Space and workspace → ask, trial, tell until the study has its trials; resumes whatever was cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol

from explorer import origins, plugins, trial
from explorer.configuration import Configuration
from explorer.engines import _devices
from explorer.engines._devices import Surroundings
from explorer.engines._stages import StageEngine
from explorer.errors import ExplorerError, Failure, did_you_mean
from explorer.records import Record, Records
from explorer.space import Space
from explorer.store import Store
from explorer.study import Study
from explorer.workspace import Workspace

# How often a thread that waits for another one's trial looks whether all is to stop.
POLL_SECONDS = 1.0


class Observer(_devices.Observer, Protocol):
    """Who is told how the study goes."""

    def begin(self, done: int, wanted: int) -> None:
        """`done` of `wanted` trials are on record."""

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        """A trial ended."""


@dataclass(frozen=True)
class Summary:
    """How a run ended: trials on record, as they ended, and how many of them this run added."""

    study: str
    complete: int
    failed: int
    skipped: int
    added: int
    exhausted: bool


@dataclass(frozen=True)
class Where:
    """Where stages run.

    Parameters
    ----------
    engine
        Name of a file in ``explorer/engines``.
    address
        Of a cluster's head; None without one.

    Raises
    ------
    ExplorerError
        For an unknown engine, and for an address of one that has none.
    """

    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        known = plugins.names("engine")
        if self.engine not in known:
            raise ExplorerError(f"unknown engine '{self.engine}'{did_you_mean(self.engine, known)}")
        if self.address is not None and not plugins.literal("engine", self.engine, "ADDRESSED", default=False):
            raise ExplorerError(f"engine {self.engine} takes no address, and '{self.address}' is one: add --engine ray")


HERE = Where()


def run(space: Space, workspace: Workspace, observer: Observer, where: Where = HERE) -> Summary:
    """Bring the study of `space` in `workspace` to the number of trials that the space asks for.

    One process at a time does so: another one waits, and goes on if there is something left.

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
    with workspace.held(observer.note):
        found = origins.find(space, workspace)
        records = Records(workspace.url)
        study = Study(space, workspace, records, found.digests())
        before = sum(records.count(space.name))
        observer.begin(before, space.trials)
        if study.warm and plugins.literal("sampler", space.sampler, "LEARNS", default=False):
            trials = f"{study.warm} trial{'s' if study.warm > 1 else ''}"
            observer.note(f"the sampler begins with {trials} of earlier studies in the workspace")
        if before < space.trials:
            with engine_of(space, workspace, records, found, observer, where) as engine:
                _evaluate(study, engine, observer, wanted=space.trials - before)
        ended = records.count(space.name)
        return Summary(space.name, *ended, added=sum(ended) - before, exhausted=sum(ended) < space.trials)


def engine_of(
    space: Space,
    workspace: Workspace,
    records: Records,
    found: origins.Origins,
    observer: _devices.Observer,
    where: Where,
) -> StageEngine:
    """Return the engine that runs the trials of `space`, once what they take from outside was looked at.

    Raises
    ------
    SpaceError
        If something of that cannot be used.
    """
    origins.check(space, found, workspace)
    store = Store(workspace.artifacts)
    store.clean()
    devices = {name: space.devices[name] for name in space.device_names}
    threads = max(choice for choice in space.axes["threads"].choices if isinstance(choice, int))
    given = Surroundings(store, records, workspace.logs, found, devices, threads, observer)
    engine: StageEngine = plugins.load("engine", where.engine).build(given, where.address)
    return engine


def _evaluate(study: Study, engine: StageEngine, observer: Observer, wanted: int) -> None:
    """Evaluate up to `wanted` configurations, a few at a time, so that one compiles while another trains."""
    tickets = iter(range(wanted))
    under_way = 0
    ended = threading.Condition()

    def ask() -> tuple[int, Configuration] | None:
        """Return the next trial; None if there is none and what is under way cannot bring about another one."""
        nonlocal under_way
        with ended:
            while not stop.is_set():
                with engine.computing():
                    asked = study.ask()
                if asked is not None:
                    under_way += 1
                if asked is not None or not (under_way and study.promotes):
                    return asked
                ended.wait(POLL_SECONDS)
            return None

    def work() -> None:
        nonlocal under_way
        for _ in _until_interrupted(tickets, stop):
            if (asked := ask()) is None:
                return
            number, configuration = asked
            start = time.perf_counter()
            settings, screen = study.space.settings, study.screen
            outcome = study.outcome(number) or trial.run(configuration, settings, engine, screen)
            if stop.is_set():
                return  # whatever it says comes of our stopping the workers; the next run takes the trial up again
            with engine.computing():
                study.tell(number, configuration, outcome, time.perf_counter() - start)
                observer.ended(number, configuration, outcome)
            with ended:
                under_way -= 1
                ended.notify_all()

    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=engine.concurrency) as executor:
        workers = [executor.submit(work) for _ in range(engine.concurrency)]
        try:
            for worker in as_completed(workers):
                worker.result()
        except BaseException:
            stop.set()
            engine.stop()  # threads that wait for a worker get none, or see it die, and end
            raise


def _until_interrupted(tickets: Iterator[int], stop: threading.Event) -> Iterator[int]:
    for ticket in tickets:
        if stop.is_set():
            return
        yield ticket
