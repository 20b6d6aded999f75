"""Space and workspace → ask, trial, tell until the study has its trials; resumes whatever was cut off."""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Protocol

from explorer.core import plugins
from explorer.core.errors import ExplorerError, did_you_mean
from explorer.engines import _devices
from explorer.engines._devices import Surroundings
from explorer.engines._stages import StageEngine
from explorer.inputs import external
from explorer.line import trial
from explorer.search import helping
from explorer.search.study import Study, question_of
from explorer.search.trial_queue import TrialObserver, Turns
from explorer.space.space import Space
from explorer.workspace.records import Records
from explorer.workspace.store import HOST, Store
from explorer.workspace.workspace import Holder, Workspace


class Observer(_devices.Observer, TrialObserver, Protocol):
    """Who is told how the study goes."""

    def begin(self, done: int, wanted: int) -> None:
        """`done` of `wanted` trials are on record."""


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

    One process leads the study. Another one helps it, if both run stages in processes of their own machine, and else
    waits; when the one that leads ends, it goes on if there is something left.

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
    helped = 0

    def help_out(holder: Holder) -> None:
        nonlocal helped
        if where == HERE and holder.address:
            helped += _help(space, workspace, observer, holder)

    with contextlib.ExitStack() as stack:
        hold = stack.enter_context(workspace.held(observer.note, help_out))
        found = external.find(space, workspace)
        records = stack.enter_context(Records(workspace.url).led(observer.note))
        study = Study(space, workspace, records, found.digests())
        before = sum(records.count(space.name))
        observer.begin(before, space.trials)
        if study.warm and plugins.literal("sampler", space.sampler, "LEARNS", default=False):
            trials = f"{study.warm} trial{'s' if study.warm > 1 else ''}"
            observer.note(f"the sampler begins with {trials} of earlier studies in the workspace")
        if wanted := max(0, space.trials - before) + study.untold:
            with engine_of(space, workspace, records, found, observer, where) as engine:
                turns = Turns(study, engine.computing, observer, wanted)
                helped_by = helping.led(turns, _identity(space, found), workspace.is_shared)
                with helped_by if where == HERE else contextlib.nullcontext() as address:
                    hold.tell(address)
                    _evaluate(turns, engine)
        ended = records.count(space.name)
        added = helped + sum(ended) - before
        return Summary(space.name, *ended, added=added, exhausted=sum(ended) < space.trials)


def _help(space: Space, workspace: Workspace, observer: Observer, leader: Holder) -> int:
    """Run trials for the process that leads a study, if it is this one; return how many were run."""
    own = [name for name in space.device_names if space.devices[name].is_here]
    if own and leader.host != HOST:
        observer.note(f"it cannot be helped from here, since device '{own[0]}' is {leader.host} itself")
        return 0
    found = external.find(space, workspace)
    study = _identity(space, found)
    if refused := helping.refusal(leader, study):
        observer.note(f"it cannot be helped, since it runs {refused}")
    if refused != "":
        return 0
    observer.note(f"helping it with study '{space.name}'")
    records = Records(workspace.url)
    observer.begin(sum(records.count(space.name)), space.trials)
    with engine_of(space, workspace, records, found, observer, HERE, helps=True) as engine:
        return helping.help_out(leader, study, space, engine, records, observer)


def _identity(space: Space, found: external.Origins) -> dict[str, Any]:
    """Return what two processes must have in common to run trials of one study."""
    return {"name": space.name, **question_of(space, found.digests())}


def engine_of(
    space: Space,
    workspace: Workspace,
    records: Records,
    found: external.Origins,
    observer: _devices.Observer,
    where: Where,
    helps: bool = False,
) -> StageEngine:
    """Return the engine that runs the trials of `space`, once what they take from outside was looked at.

    Parameters
    ----------
    helps
        Whether another process leads the study.

    Raises
    ------
    SpaceError
        If something of that cannot be used.
    """
    external.check(space, found, workspace)
    store = Store(workspace.artifacts)
    store.clean()
    devices = {name: space.devices[name] for name in space.device_names}
    threads = max(choice for choice in space.axes["threads"].choices if isinstance(choice, int))
    logs = workspace.logs / f"helping-{os.getpid()}@{HOST}" if helps else workspace.logs
    given = Surroundings(store, records, logs, found, devices, threads, observer, helps)
    engine: StageEngine = plugins.load("engine", where.engine).build(given, where.address)
    return engine


def _evaluate(turns: Turns, engine: StageEngine) -> None:
    """Evaluate configurations until there are no more, a few at a time, so that one compiles while another trains."""
    study = turns.study

    def work() -> None:
        while (asked := turns.ask()) is not None:
            start = time.perf_counter()
            number, configuration = asked
            outcome = study.outcome(number) or trial.run(configuration, study.space.settings, engine, study.screen)
            turns.tell(asked, outcome, time.perf_counter() - start)

    with ThreadPoolExecutor(max_workers=engine.concurrency) as executor:
        workers = [executor.submit(work) for _ in range(engine.concurrency)]
        try:
            for worker in as_completed(workers):
                worker.result()
        except BaseException:
            turns.stop()
            engine.stop()  # threads that wait for a worker get none, or see it die, and end
            raise
