"""Space and workspace → the Optuna study in the workspace's database: what is next, and what came of it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from explorer.core import plugins
from explorer.core.configuration import Configuration, digest
from explorer.core.errors import Failure, WorkspaceError
from explorer.core.quantities import Quantity
from explorer.search import warm_start
from explorer.search.latency_first import Screen
from explorer.search.sampling import EARLIER, TOLD
from explorer.search.successive_halving import Finished, Ladder, Promotion
from explorer.space.space import Space, unseen
from explorer.workspace.records import BUSY_SECONDS, Record, Records, tune_sqlite
from explorer.workspace.workspace import Workspace

CONFIGURATION = "configuration"  # user attribute of an Optuna trial: the id of what it evaluates
PROPOSAL = "proposal"  # user attribute: how many proposals the sampler had made before this one
PROMOTED = "promoted"  # user attribute of a promoted trial: from which one to which rung, and why; see `Promotion`
QUESTION = "question"  # user attribute of the study: the space, in short
CHOSEN = "earlier trials"  # user attribute of the study: those of earlier ones that its sampler begins with
LIMITS = "limits"  # user attribute of the study: the limits of its latest run, as texts
PAGE = 1000  # trials that are read from the database at once
MAX_DUPLICATES = 5  # proposals in a row that are known already, before one is drawn that is not


class Study:
    """The Optuna study of one space in one workspace, with the explorer's records beside it.

    A trial exists from `ask` to `tell`. One that was cut off between the two is given out again first, with the
    parameters it had, so nothing is lost; its outcome is recorded before Optuna is told, so nothing counts twice.

    Where the space has rungs, the sampler proposes on the lowest one, and what `Ladder` promotes comes before that. Of
    the others it learns nothing: a stack is not better than its neighbours for having been tuned.

    The sampler works on a mirror of the study in memory, where a proposal that is known already stays as a failed
    trial that samplers ignore. Asking the database parameter by parameter would take longer than all else that a trial
    with cached stages does, and would leave such proposals there.

    A limit of the space is a constraint of every complete trial, which samplers that learn respect. Limits may change
    from run to run. Optuna lets nobody change a finished trial, so those in the database keep the constraints that they
    were told with, and the mirror has those of now, by what is on record.

    The mirror begins with complete trials of earlier studies, which are chosen once, when the study begins. They are
    none of this study's: it may propose their configurations, which costs nothing.

    A trial that was skipped is a pruned one in the database, and a failed one in the mirror: it has no values.

    Parameters
    ----------
    digests
        Of what its trials depend on besides the space: files of data sets, initial weights and code of the user's own.
    """

    def __init__(
        self, space: Space, workspace: Workspace, records: Records, digests: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.space = space
        self._records = records
        self._lock = threading.Lock()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = _storage(workspace.url)
        directions = list(space.objectives.values())
        study = optuna.create_study(
            study_name=space.name, storage=self._storage, directions=directions, load_if_exists=True
        )
        question = question_of(space, digests)
        if _check_question(study, question) and space.warm_start:
            others = {other.study_name: other.user_attrs.get(QUESTION) for other in self._storage.get_all_studies()}
            others.pop(space.name)
            study.set_user_attr(CHOSEN, warm_start.choose(space.lowest, question, others, records))
        study.set_user_attr(LIMITS, [str(limit) for limit in space.limits])
        self._study = study
        self._study_id = self._storage.get_study_id_from_name(space.name)
        sampler = plugins.load("sampler", space.sampler).build(space.lowest, space.seed)
        self._mirror = optuna.create_study(sampler=sampler, directions=directions)
        self._mirrored = 0  # trials in it
        # By number: the trial's id in the storage, and its number in the mirror, None if it was promoted.
        self._ids: list[tuple[int, int | None]] = []
        self._seen: set[str] = set()
        self._proposed = 0  # of the seen ones, those on the lowest rung
        self._ladder = Ladder(space) if space.rungs else None
        self.warm = 0  # trials of earlier studies that the sampler begins with
        self._warm_up(study.user_attrs.get(CHOSEN, {}))
        self.screen = Screen(space.objectives, space.limits) if space.latency_first else None
        constraints: dict[int, Mapping[str, float]] = {}
        reads = self._ladder or self.screen or space.limits
        for number, configuration, record in records.complete(space.name) if reads else ():
            self._learn(number, configuration, record)
            constraints[number] = self._constraints(configuration, record)
        self._cut_off: list[FrozenTrial] = []
        for trial in _stored(self._storage, self._study_id):
            self._reflect(trial, constraints.get(trial.number, {}))
            if trial.state == TrialState.RUNNING:
                self._cut_off.append(trial)
        # Of those that were cut off, the ones whose outcome is on record: Optuna is still to be told of it.
        self.untold = sum(self.outcome(trial.number) is not None for trial in self._cut_off)

    def ask(self) -> tuple[int, Configuration] | None:
        """Return the number and configuration of the next trial, never one that the study has; None when all are in."""
        with self._lock:
            if self._cut_off:
                trial = self._cut_off.pop(0)
                return trial.number, self._configuration(trial)
            if self._ladder and (promotion := self._ladder.promotion(self._seen)):
                self._mirror.enqueue_trial(self.space.parameters(promotion.configuration))
                return self._propose(promotion)
            below = self.space.lowest
            for _ in range(MAX_DUPLICATES):
                if self._proposed == below.count and not below.continuous:
                    return None
                if (asked := self._propose()) is not None:
                    return asked
            fresh = unseen(below, self._seen, seed=self.space.seed + len(self._seen))
            if fresh is None:
                return None
            self._mirror.enqueue_trial(below.parameters(fresh))
            return self._propose()

    def missing(self, configurations: Iterable[Configuration]) -> Iterator[tuple[int | None, Configuration]]:
        """Yield those of `configurations` that have no outcome yet, with the numbers of trials that were cut off."""
        numbers = {(configuration := self._configuration(trial)).id: trial.number for trial in self._cut_off}
        for configuration in configurations:
            if (number := numbers.get(configuration.id)) is not None or configuration.id not in self._seen:
                yield number, configuration

    def begin(self, configuration: Configuration) -> int:
        """Start a trial of `configuration`, which has none and which nobody proposed, and return its number."""
        with self._lock:
            found = self.space.distributions(configuration)
            proposal = self._mirrored
            trial = create_trial(
                state=TrialState.RUNNING,
                params={name: value for name, (_, value) in found.items()},
                distributions={name: distribution for name, (distribution, _) in found.items()},
                user_attrs={CONFIGURATION: configuration.id, PROPOSAL: proposal},
            )
            self._add(trial)
            self._ids.append((self._storage.create_new_trial(self._study_id, trial), proposal))
            self._see(configuration.id, lowest=True)
            return len(self._ids) - 1

    @property
    def promotes(self) -> bool:
        """Whether a trial that ends may bring about another one."""
        return self._ladder is not None

    def outcome(self, number: int) -> Record | Failure | None:
        """Return what is on record of a trial that was cut off just before Optuna was told."""
        return self._records.outcome(self.space.name, number)

    def tell(self, number: int, configuration: Configuration, outcome: Record | Failure, seconds: float) -> None:
        """Put the outcome on record and tell Optuna."""
        with self._lock:
            self._records.add_trial(self.space.name, number, configuration, outcome, seconds)
            trial_id, proposal = self._ids[number]
            state, values, constraints = TrialState.FAIL, None, dict[str, float]()
            told: dict[str, Any] = {"seconds": seconds}
            if isinstance(outcome, Failure) and outcome.skipped:
                state = TrialState.PRUNED
            if isinstance(outcome, Record):
                state, values = TrialState.COMPLETE, [outcome.values[name] for name in self.space.objectives]
                told["interval"] = self._interval(outcome)
                constraints = self._constraints(configuration, outcome)
                self._learn(number, configuration, outcome)
            _note(self._study, trial_id, told, constraints)
            self._storage.set_trial_state_values(trial_id, state, values)
            if proposal is not None:
                storage, study_id = self._mirror._storage, self._mirror._study_id
                mirrored = storage.get_trial_id_from_study_id_trial_number(study_id, proposal)
                _note(self._mirror, mirrored, told, constraints)
                self._mirror.tell(proposal, values, TrialState.FAIL if values is None else None)

    def _warm_up(self, chosen: warm_start.Chosen) -> None:
        """Put trials of earlier studies into the mirror."""
        for configuration, parameters, record in warm_start.trials(self.space.lowest, chosen, self._records):
            trial = create_trial(
                params={name: value for name, (_, value) in parameters.items()},
                distributions={name: distribution for name, (distribution, _) in parameters.items()},
                values=[record.values[name] for name in self.space.objectives],
                user_attrs={EARLIER: True, TOLD: {"interval": self._interval(record)}},
            )
            self._add(_as_mirrored(trial, self._constraints(configuration, record)))
            self.warm += 1

    def _propose(self, promotion: Promotion | None = None) -> tuple[int, Configuration] | None:
        """Ask the sampler once and store its proposal; return None if the study has that configuration already.

        What is promoted must be enqueued.
        """
        asked = self._mirror.ask()
        self._mirrored = max(self._mirrored, asked.number + 1)  # unless it had been enqueued
        configuration = (self.space if promotion else self.space.lowest).suggest(asked)
        if configuration.id in self._seen:
            self._mirror.tell(asked, state=TrialState.FAIL)
            return None
        asked.set_user_attr(CONFIGURATION, configuration.id)
        asked.set_user_attr(PROPOSAL, asked.number)
        if promotion:
            asked.set_user_attr(PROMOTED, promotion.facts)
        proposed = self._mirror._storage.get_trial(asked._trial_id)
        trial_id = self._storage.create_new_trial(self._study_id, proposed)
        if promotion:
            self._mirror.tell(asked, state=TrialState.FAIL)
        self._ids.append((trial_id, None if promotion else asked.number))
        self._see(configuration.id, lowest=promotion is None)
        return len(self._ids) - 1, configuration

    def _reflect(self, trial: FrozenTrial, constraints: Mapping[str, float]) -> None:
        """Put a stored trial into the mirror with its `constraints`, under the number that its proposal had there."""
        while self._mirrored < trial.user_attrs[PROPOSAL]:
            self._add(create_trial(state=TrialState.FAIL))
        promoted = PROMOTED in trial.user_attrs
        self._add(create_trial(state=TrialState.FAIL) if promoted else _as_mirrored(trial, constraints))
        self._ids.append((trial._trial_id, None if promoted else trial.user_attrs[PROPOSAL]))
        self._see(trial.user_attrs[CONFIGURATION], lowest=not promoted)

    def _add(self, trial: FrozenTrial) -> None:
        self._mirror.add_trial(trial)
        self._mirrored += 1

    def _see(self, configuration_id: str, lowest: bool) -> None:
        self._seen.add(configuration_id)
        self._proposed += lowest

    def _configuration(self, trial: FrozenTrial) -> Configuration:
        """Return what a stored trial evaluates; one that was not promoted has no parameter for the rungs."""
        asked_of = self.space if PROMOTED in trial.user_attrs else self.space.lowest
        return asked_of.suggest(FixedTrial(trial.params, trial.number))

    def _constraints(self, configuration: Configuration, record: Record) -> dict[str, float]:
        """Return how far a complete trial lies beyond each limit, 0 where it keeps it, as Optuna's constraints."""
        device = configuration.device
        return {str(limit): limit.violation(device, record.values) for limit in self.space.limits}

    def _interval(self, record: Record) -> list[list[float]]:
        """Return the 95 % interval of every objective; of an exact one both ends are its value."""
        intervals = (Quantity.parse(name).interval(record.values) for name in self.space.objectives)
        return [[interval.low, interval.high] for interval in intervals]

    def _learn(self, number: int, configuration: Configuration, record: Record) -> None:
        """Have what decides by complete trials know of one."""
        if self._ladder:
            self._ladder.add(Finished(number, configuration, record.values))
        if self.screen:
            self.screen.add(number, configuration, record.values)


def _storage(url: str) -> optuna.storages.RDBStorage:
    """Return Optuna's tables in the database at `url`."""
    if not url.startswith("sqlite"):
        return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
    tune_sqlite(storage.engine)
    return storage


def _stored(storage: optuna.storages.RDBStorage, study_id: int) -> Iterator[FrozenTrial]:
    """Yield the trials of a stored study in the order of their numbers, a page at a time.

    Optuna reads all at once, which takes 16 KiB for each of 10,000 with what the mirror holds, and keeps them.
    """
    trials = sa.table("trials", sa.column("trial_id"), sa.column("study_id"), sa.column("number"))
    query = sa.select(trials.c.trial_id).where(trials.c.study_id == study_id).order_by(trials.c.number)
    with storage.engine.connect() as connection:
        ids = list(connection.execute(query).scalars())
    for first in range(0, len(ids), PAGE):
        page = storage._get_trials(study_id, None, set(ids[first : first + PAGE]), max(ids))
        yield from sorted(page, key=lambda trial: trial.number)


def _note(study: optuna.Study, trial_id: int, told: Mapping[str, Any], constraints: Mapping[str, float]) -> None:
    """Set what a running trial is told besides its values; a run that was cut off in `tell` may have done so."""
    trial = optuna.Trial(study, trial_id)
    trial.set_user_attr(TOLD, told)
    known = trial.constraints if constraints else {}
    for name, violation in constraints.items():
        if name not in known:
            trial.set_constraint(name, violation)


def _as_mirrored(trial: FrozenTrial, constraints: Mapping[str, float]) -> FrozenTrial:
    """Return a stored trial as the mirror has it, with `constraints` in place of those that it was told with."""
    changed = copy.copy(trial)
    if changed.state == TrialState.PRUNED:
        changed.state = TrialState.FAIL
    # Where Optuna keeps them, among what the samplers note there.
    attributes = trial.system_attrs.items()
    changed.system_attrs = {name: value for name, value in attributes if not name.startswith("constraints:")}
    for name, violation in constraints.items():
        changed.set_constraint(name, violation)
    return changed


def _check_question(study: optuna.Study, question: dict[str, Any]) -> bool:
    """Refuse to go on with a study whose trials answer another question; tell whether it is a new one."""
    known = study.user_attrs.get(QUESTION)
    if known is None:
        study.set_user_attr(QUESTION, question)
        return True
    if digest(known) != digest(question):
        changed = sorted(key for key in {*known, *question} if known.get(key) != question.get(key))
        raise WorkspaceError(
            f"the workspace's study '{study.study_name}' was made with other {' and '.join(changed)}; "
            "choose another --workspace, or give the space another name"
        )
    return False


def question_of(space: Space, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return what must stay the same for two runs to be of one study; how it is searched may change."""
    return {
        "axes": {name: [str(choice) for choice in axis.choices] for name, axis in space.axes.items()},
        "constraints": [str(constraint) for constraint in space.constraints],
        "objectives": [list(objective) for objective in space.objectives.items()],
        "settings": space.settings.model_dump(),
        **({"rungs": space.rungs} if space.rungs else {}),
        **digests,
    }
