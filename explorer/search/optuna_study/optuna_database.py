"""A database and a study's name → Optuna's tables of the study: its trials and notes, read and written.

This is the only file of the explorer that uses names which Optuna keeps to itself.
"""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TypedDict, TypeVar

import optuna
import sqlalchemy as sa
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from explorer.core.errors import Failure, WorkspaceError
from explorer.space.toml.space_file import Direction
from explorer.workspace.database import lasting, refusals
from explorer.workspace.database.connection import BUSY_SECONDS, tune_sqlite
from explorer.workspace.database.refusals import shown

# User attributes of a trial.
CONFIGURATION = "configuration"  # the id of what it evaluates
PROPOSAL = "proposal"  # how many proposals the sampler had made before this one
PROMOTED = "promoted"  # of a promoted trial: from which one to which rung, and why; see `Promotion`
EARLIER = "earlier"  # of a trial of an earlier study
TOLD = "told"  # of a trial that has ended; see `Told`
UNFINISHED = "unfinished"  # of a running trial: stage, kind and message of what kept its latest attempt from ending

# User attributes of a study.
QUESTION = "question"  # the space, in short
CHOSEN = "earlier trials"  # those of earlier studies that its sampler begins with
LIMITS = "limits"  # the limits of its latest run, as texts
SPACE = "space"  # the file of its latest run
TRIALS = "trials"  # how many its latest run asks for

T = TypeVar("T")

# What Optuna raises where a row has what it never writes, such as JSON that does not parse or an unknown state.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, sa.exc.SQLAlchemyError)

MOST_PROPOSALS = 10_000_000  # of a sampler: each takes memory
PAGE = 1000  # trials that are read from the database at once


class Told(TypedDict, total=False):
    """The facts that a trial has when it has ended, apart from its values.

    Attributes
    ----------
    seconds : what it took
    interval : of a complete trial the 95 % interval of its values, low and high ends, one pair an objective
    """

    seconds: float
    interval: list[list[float]]


def why_odd(trial: FrozenTrial, number: int, objectives: int) -> str | None:
    """Return why a trial in the tables cannot be the study's of this number, or None if it can."""
    attributes = trial.user_attrs
    if trial.number != number:
        return f"trial {number} is missing before it"
    if not isinstance(attributes.get(CONFIGURATION), str):
        return "it does not say which configuration it evaluates"
    proposal = attributes.get(PROPOSAL)
    if not isinstance(proposal, int) or not 0 <= proposal <= MOST_PROPOSALS:
        return f"it has {PROPOSAL} {proposal}"
    values = trial.values or ()
    if trial.state == TrialState.COMPLETE and not (len(values) == objectives and all(map(math.isfinite, values))):
        return f"it is complete and its values are {list(values)}"
    return None


class OptunaDatabase:
    """The tables of one study, which is created unless it is there.

    Parameters
    ----------
    url
        Of the database, as SQLAlchemy takes it.
    name
        Of the study.
    objectives
        Quantity → direction.
    """

    def __init__(self, url: str, name: str, objectives: Mapping[str, Direction]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage, self._objectives = _storage(url), list(objectives)
        directions = list(objectives.values())
        self._study = self._done(
            lambda: optuna.create_study(
                study_name=name, storage=self._storage, directions=directions, load_if_exists=True
            )
        )
        self.study_id = self._done(lambda: self._storage.get_study_id_from_name(name))

    @property
    def notes(self) -> dict[str, object]:
        """The user attributes of the study."""
        return self._done(lambda: self._study.user_attrs)

    def note(self, name: str, value: object) -> None:
        """Set a user attribute of the study to a `value` that JSON can hold."""
        self._done(lambda: self._study.set_user_attr(name, value))

    def notes_of_others(self, name: str) -> dict[str, object]:
        """Return what every other study in the database has as user attribute `name`, None where it has none."""
        every = self._done(self._storage.get_all_studies)
        studies = {study.study_name: study.user_attrs.get(name) for study in every}
        del studies[self._study.study_name]
        return studies

    def name_objectives(self) -> None:
        """Give the objectives their names, which ``optuna-dashboard`` shows, unless they have them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            if self._done(lambda: self._study.metric_names) != self._objectives:
                self._done(lambda: self._study.set_metric_names(self._objectives))

    def trials(self) -> Iterator[tuple[int, FrozenTrial]]:
        """Yield the id of every trial with the trial, in the order of their numbers, and read a page at a time."""
        trials = sa.table("trials", sa.column("trial_id"), sa.column("study_id"), sa.column("number"))
        query = sa.select(trials.c.trial_id).where(trials.c.study_id == self.study_id).order_by(trials.c.number)
        ids = [trial_id for (trial_id,) in lasting.rows(self._storage.engine, query)]
        for first in range(0, len(ids), PAGE):
            own = ids[first : first + PAGE]
            # Workaround: optuna 5.0: only all trials can be read, which take 16 KiB each; tests/workarounds
            page = self._done(partial(self._storage._get_trials, self.study_id, None, set(own), max(ids)))
            # Behind them stands what another process added meanwhile.
            yield from zip(own, self._done(partial(sorted, page, key=attrgetter("number"))), strict=False)

    def add(self, trial: FrozenTrial) -> int:
        """Put a trial into the tables and return its id there; no configuration has two."""

        def add(again: bool) -> int:
            known = self._with_configuration(trial.user_attrs[CONFIGURATION]) if again else None
            return self._storage.create_new_trial(self.study_id, trial) if known is None else known

        return lasting.done(add)

    def _with_configuration(self, configuration: str) -> int | None:
        """Return the id of the trial that evaluates the configuration of this id; None if there is none."""
        trials = sa.table("trials", sa.column("trial_id"), sa.column("study_id"))
        attributes = sa.table("trial_user_attributes", *map(sa.column, ("trial_id", "key", "value_json")))
        query = sa.select(trials.c.trial_id).where(
            trials.c.study_id == self.study_id,
            attributes.c.trial_id == trials.c.trial_id,
            attributes.c.key == CONFIGURATION,
            attributes.c.value_json == json.dumps(configuration),
        )
        return next((int(trial_id) for (trial_id,) in lasting.rows(self._storage.engine, query)), None)

    def leave(self, trial_id: int, failure: Failure) -> None:
        """Note of a running trial why it could not end, and leave it running."""
        why = {"stage": failure.stage, "kind": failure.kind, "message": failure.message}
        optuna.Trial(self._study, trial_id).set_user_attr(UNFINISHED, why)

    def tell(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None,
        told: Told,
        constraints: Mapping[str, float],
    ) -> None:
        """End a running trial."""

        def tell(again: bool) -> None:
            if again and self._storage.get_trial(trial_id).state.is_finished():
                return
            annotate(self._study, trial_id, told, constraints)
            self._storage.set_trial_state_values(trial_id, state, values)

        lasting.done(tell)

    def _done(self, call: Callable[[], T]) -> T:
        """Return what a call to Optuna returns that a second time changes nothing.

        Raises
        ------
        WorkspaceError
            If Optuna cannot make sense of what is in its tables.
        """
        try:
            return lasting.done(lambda _again: call())
        except UNREADABLE as error:
            raise WorkspaceError(
                f"Optuna's tables in the database {shown(self._storage.engine.url)} have a row that cannot be read: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}; put a copy of the database in its place"
            ) from error


def annotate(study: optuna.Study, trial_id: int, told: Told, constraints: Mapping[str, float]) -> None:
    """Set the facts and constraints of a running trial; a run that was cut off in `tell` may have done so."""
    trial = optuna.Trial(study, trial_id)
    trial.set_user_attr(TOLD, told)
    known = trial.constraints if constraints else {}
    for name, violation in constraints.items():
        if name not in known:
            trial.set_constraint(name, violation)


def with_constraints(trial: FrozenTrial, constraints: Mapping[str, float]) -> FrozenTrial:
    """Return a copy of a finished trial that has these `constraints` in place of its own."""
    changed = copy.copy(trial)
    # Workaround: optuna 5.0: a constraint that was set can be neither changed nor removed; tests/workarounds
    # Optuna keeps constraints among the system attributes, where samplers note other things.
    attributes = trial.system_attrs.items()
    changed.system_attrs = {name: value for name, value in attributes if not name.startswith("constraints:")}
    for name, violation in constraints.items():
        changed.set_constraint(name, violation)
    return changed


def storage_of(study: optuna.Study) -> tuple[BaseStorage, int]:
    """Return where the trials of a study that samplers are given are kept, and the study's id there."""
    # Workaround: optuna 5.0: a study gives nothing but a copy of the list of all trials; tests/workarounds
    return study._storage, study._study_id


def trials_of(study: optuna.Study, numbers: Iterable[int]) -> Iterator[FrozenTrial]:
    """Yield the trials of these `numbers` alone, which `study.get_trials` cannot."""
    storage, study_id = storage_of(study)
    for number in numbers:
        yield storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number))


_FITTING: set[str] = set()  # databases whose tables this process has found to be its Optuna's, which takes it 0.1 s


def _storage(url: str) -> RDBStorage:
    """Return Optuna's tables in the database at `url`."""
    in_file = url.startswith("sqlite")
    options = {"connect_args": {"timeout": BUSY_SECONDS}} if in_file else {"pool_pre_ping": True}
    try:
        storage = RDBStorage(url, engine_kwargs=options, skip_compatibility_check=url in _FITTING)
    except (RuntimeError, sa.exc.SQLAlchemyError, AssertionError) as error:
        where, why = shown(sa.make_url(url)), " ".join(str(error).split())[:300]
        raise WorkspaceError(
            f"Optuna's tables in the database {where} are of another version, or damaged: {why}"
        ) from error
    _FITTING.add(url)
    refusals.explain(storage.engine)
    if in_file:
        tune_sqlite(storage.engine)
    else:
        lasting.wait_for_server(storage.engine)
    return storage
