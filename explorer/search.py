"""Space and workspace → ask, trial, tell until the study has its trials; resumes whatever was cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import FixedTrial, TrialState

from explorer import plugins, trial
from explorer.configuration import Configuration, digest
from explorer.devices import Device
from explorer.engines import local
from explorer.errors import Failure, WorkspaceError
from explorer.records import BUSY_SECONDS, Record, Records, tune_sqlite
from explorer.space import Space, unseen
from explorer.store import Store
from explorer.workspace import Workspace

CONFIGURATION = "configuration"  # user attribute of an Optuna trial: the id of what it evaluates
DUPLICATE_OF = "duplicate_of"  # user attribute of a pruned trial: an earlier trial has this configuration
MAX_DUPLICATES = 10  # proposals in a row that are known already, before one is drawn that is not


class Observer(local.Observer, Protocol):
    """Who is told how the study goes."""

    def begin(self, done: int, wanted: int) -> None:
        """`done` of `wanted` trials are on record."""

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        """A trial ended."""


@dataclass(frozen=True)
class Summary:
    """How a run ended: trials on record, failed ones among them, and how many of them this run added."""

    study: str
    complete: int
    failed: int
    added: int
    exhausted: bool


def run(space: Space, workspace: Workspace, observer: Observer) -> Summary:
    """Bring the study of `space` in `workspace` to the number of trials that the space asks for.

    Raises
    ------
    WorkspaceError
        If another process holds the workspace, or holds a study of this name over another space.
    DeviceError
        If a device cannot be reached; nothing has been computed then.
    """
    with workspace.held():
        records = Records(workspace.url)
        study = Study(space, workspace, records)
        before = sum(records.count(space.name))
        observer.begin(before, space.trials)
        if before < space.trials:
            store = Store(workspace.artifacts)
            store.clean()
            with local.LocalEngine(
                store, records, workspace.logs, _devices(space), _most_threads(space), observer
            ) as engine:
                _evaluate(study, engine, observer, wanted=space.trials - before)
        complete, failed = records.count(space.name)
        added = complete + failed - before
        return Summary(space.name, complete, failed, added, exhausted=complete + failed < space.trials)


def _evaluate(study: Study, engine: local.LocalEngine, observer: Observer, wanted: int) -> None:
    """Evaluate up to `wanted` configurations, a few at a time, so that one compiles while another trains."""
    tickets = iter(range(wanted))

    def work() -> None:
        for _ in _until_interrupted(tickets, stop):
            with engine.computing():
                asked = study.ask()
            if asked is None:
                return
            number, configuration = asked
            start = time.perf_counter()
            outcome = study.outcome(number) or trial.run(configuration, study.space.settings, engine)
            with engine.computing():
                study.tell(number, configuration, outcome, time.perf_counter() - start)
                observer.ended(number, configuration, outcome)

    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=engine.concurrency) as executor:
        workers = [executor.submit(work) for _ in range(engine.concurrency)]
        try:
            for worker in as_completed(workers):
                worker.result()
        except BaseException:
            stop.set()
            engine.stop()  # threads that wait for a worker see it die, and end
            raise


def _until_interrupted(tickets: Iterator[int], stop: threading.Event) -> Iterator[int]:
    for ticket in tickets:
        if stop.is_set():
            return
        yield ticket


class Study:
    """The Optuna study of one space in one workspace, with the explorer's records beside it.

    A trial exists from `ask` to `tell`. One that was cut off between the two is given out again first, with the
    parameters it had, so nothing is lost; its outcome is recorded before Optuna is told, so nothing counts twice.

    The sampler works on a mirror of the study in memory, trial by trial under the same numbers: asking the database
    parameter by parameter takes longer than all else a trial with cached stages does.
    """

    def __init__(self, space: Space, workspace: Workspace, records: Records) -> None:
        self.space = space
        self._records = records
        self._lock = threading.Lock()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage(workspace.url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
        tune_sqlite(storage.engine)
        directions = list(space.objectives.values())
        self._stored = optuna.create_study(
            study_name=space.name, storage=storage, directions=directions, load_if_exists=True
        )
        self._check_space()
        sampler = plugins.load("sampler", space.sampler).build(space, space.seed)
        self._mirror = optuna.create_study(sampler=sampler, directions=directions)
        trials = self._stored.get_trials(deepcopy=False)
        self._mirror.add_trials(trials)
        self._cut_off = [t.number for t in trials if t.state == TrialState.RUNNING]
        self._seen = {
            t.user_attrs[CONFIGURATION]: t.number for t in trials if t.state in (TrialState.COMPLETE, TrialState.FAIL)
        }

    def ask(self) -> tuple[int, Configuration] | None:
        """Return the number and configuration of the next trial, never one that the study has; None when all are in."""
        with self._lock:
            while self._cut_off:
                number = self._cut_off.pop(0)
                configuration = self.space.suggest(FixedTrial(self._mirror.trials[number].params, number))
                self._seen[configuration.id] = number
                return number, configuration
            for _ in range(MAX_DUPLICATES):
                if len(self._seen) == self.space.count and not self.space.continuous:
                    return None
                if (asked := self._propose()) is not None:
                    return asked
            fresh = unseen(self.space, self._seen, seed=self.space.seed + len(self._seen))
            if fresh is None:
                return None
            self._mirror.enqueue_trial(self.space.parameters(fresh))
            return self._propose()

    def outcome(self, number: int) -> Record | Failure | None:
        """Return what is on record of a trial that was cut off just before Optuna was told."""
        return self._records.outcome(self.space.name, number)

    def tell(self, number: int, configuration: Configuration, outcome: Record | Failure, seconds: float) -> None:
        """Put the outcome on record and tell Optuna."""
        with self._lock:
            self._records.add_trial(self.space.name, number, configuration, outcome, seconds)
            for study in (self._stored, self._mirror):
                if isinstance(outcome, Failure):
                    study.tell(number, state=TrialState.FAIL)
                else:
                    study.tell(number, [outcome.values[name] for name in self.space.objectives])

    def _propose(self) -> tuple[int, Configuration] | None:
        """Ask the sampler once and store its proposal; return None if the study has that configuration already."""
        asked = self._mirror.ask()
        configuration = self.space.suggest(asked)
        earlier = self._seen.get(configuration.id)
        if earlier is None:
            asked.set_user_attr(CONFIGURATION, configuration.id)
            self._seen[configuration.id] = asked.number
        else:
            asked.set_user_attr(DUPLICATE_OF, earlier)
            self._mirror.tell(asked, state=TrialState.PRUNED)
        self._stored.add_trial(self._mirror.get_trials(deepcopy=False)[asked.number])
        return (asked.number, configuration) if earlier is None else None

    def _check_space(self) -> None:
        """Refuse to go on with a study whose trials answer another question."""
        question = _question(self.space)
        known = self._stored.user_attrs.get("question")
        if known is None:
            self._stored.set_user_attr("question", question)
        elif digest(known) != digest(question):
            changed = sorted(key for key in {*known, *question} if known.get(key) != question.get(key))
            raise WorkspaceError(
                f"the workspace's study '{self.space.name}' was made with another {' and '.join(changed)}; "
                "choose another --workspace, or give the space another name"
            )


def _devices(space: Space) -> dict[str, Device]:
    return {str(name): space.devices[str(name)] for name in space.axes["device"].choices}


def _most_threads(space: Space) -> int:
    """Return the most threads that a configuration may ask for."""
    return max(choice for choice in space.axes["threads"].choices if isinstance(choice, int))


def _question(space: Space) -> dict[str, Any]:
    """Return what must stay the same for two runs to be of one study; trials, sampler and seed may change."""
    return {
        "axes": {name: [str(choice) for choice in axis.choices] for name, axis in space.axes.items()},
        "constraints": [str(constraint) for constraint in space.constraints],
        "objectives": [list(objective) for objective in space.objectives.items()],
        "settings": space.settings.model_dump(),
    }
