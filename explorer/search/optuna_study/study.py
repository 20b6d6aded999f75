"""Space and workspace → the next trial to evaluate, and its outcome on record: asked and told one by one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import cast

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, WorkspaceError
from explorer.core.measurement.quantities import Quantity
from explorer.search.latency_first import Screen
from explorer.search.optuna_study import warm_start
from explorer.search.optuna_study.continuing import refuse_other_parameters, refuse_other_question
from explorer.search.optuna_study.mirror import Mirror
from explorer.search.optuna_study.optuna_database import (
    CHOSEN,
    CONFIGURATION,
    LIMITS,
    PROMOTED,
    PROPOSAL,
    QUESTION,
    SPACE,
    TRIALS,
    OptunaDatabase,
    Told,
    why_odd,
)
from explorer.search.optuna_study.sampling import sampler_of
from explorer.search.successive_halving import Finished, Ladder, Promotion
from explorer.space.space import Space, unseen
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace

MAX_DUPLICATES = 5  # proposals in a row that are known already, before one is drawn that is not


class Study:
    """The study of one space in one workspace: Optuna's tables, the explorer's records and the sampler's mirror.

    A trial exists from `ask` to `tell`. One that was cut off between the two, or left since its surroundings failed, is
    given out again first by the next run, with the parameters it had, so nothing is lost; its outcome is recorded
    before Optuna is told, so nothing counts twice.

    Where the space has rungs, the sampler proposes on the lowest one, and what `Ladder` promotes comes before that.

    A limit of the space is a constraint of every complete trial, which samplers that learn respect. Limits may change
    from run to run: trials in the database keep the constraints that they were told with, and `Mirror` has those of
    the present limits.

    The mirror begins with complete trials of earlier studies, which are chosen once, when the study begins. They do
    not belong to this study: it may propose their configurations, which costs nothing.

    A trial that was skipped is a pruned one in the database.

    Parameters
    ----------
    digests
        Of what its trials depend on apart from the space: files of data sets, initial weights, the user's own code.

    Attributes
    ----------
    warm : trials of earlier studies that the sampler begins with
    untold : trials that were cut off and whose outcome is on record, so that only Optuna has not been told of it
    screen : decides which stacks need no fine-tuning; None without ``latency_first``

    Raises
    ------
    WorkspaceError
        If the database has a study of this name over another space, or over the same with axes of another form.
    SpaceError
        If the sampler cannot propose in such a space.
    """

    def __init__(
        self, space: Space, workspace: Workspace, records: Records, digests: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.space = space
        self._records = records
        self._lock = threading.Lock()
        self._database = OptunaDatabase(workspace.url, space.name, space.objectives)
        chosen = self._claim(question_of(space, digests))
        self._mirror = Mirror(sampler_of(space), space.objectives.values())
        # By number: the trial's id in the database, and its number in the mirror, None if it was promoted.
        self._ids: list[tuple[int, int | None]] = []
        self._seen: set[str] = set()  # ids of its configurations
        self._proposed = 0  # of these, those on the lowest rung
        self._cut_off: list[FrozenTrial] = []
        self._ladder = Ladder(space) if space.search.rungs else None
        self.screen = Screen(space.objectives, space.limits) if space.search.latency_first else None
        self.warm = self._warm_up(chosen)
        self._resume()
        self.untold = sum(self.outcome(trial.number) is not None for trial in self._cut_off)

    def ask(self) -> tuple[int, Configuration] | None:
        """Return the number and configuration of the next trial, never one that the study has; None when all are in."""
        with self._lock:
            if self._cut_off:
                trial = self._cut_off.pop(0)
                return trial.number, self._configuration(trial)
            if self._ladder and (promotion := self._ladder.promotion(self._seen)):
                return self._promote(promotion)
            below = self.space.lowest
            for _ in range(MAX_DUPLICATES):
                if self._proposed == below.count and not below.continuous:
                    return None
                if (asked := self._propose()) is not None:
                    return asked
            fresh = unseen(below, self._seen, seed=self.space.search.seed + len(self._seen))
            return None if fresh is None else self._propose(fresh)

    def missing(self, configurations: Iterable[Configuration]) -> Iterator[tuple[int | None, Configuration]]:
        """Yield those of `configurations` that have no outcome yet, with the numbers of trials that were cut off."""
        numbers = {(configuration := self._configuration(trial)).id: trial.number for trial in self._cut_off}
        for configuration in configurations:
            if (number := numbers.get(configuration.id)) is not None or configuration.id not in self._seen:
                yield number, configuration

    def begin(self, configuration: Configuration) -> int:
        """Start a trial of `configuration`, which has none and which nobody proposed, and return its number."""
        with self._lock:
            proposal = len(self._mirror)
            attributes = {CONFIGURATION: configuration.id, PROPOSAL: proposal}
            trial = self._mirror.begin(self.space.distributions(configuration), attributes)
            return self._enter(self._database.add(trial), proposal, configuration.id)

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
            told: Told = {"seconds": seconds}
            if isinstance(outcome, Failure) and outcome.skipped:
                state = TrialState.PRUNED
            if isinstance(outcome, Record):
                state, values = TrialState.COMPLETE, self._values(outcome)
                told["interval"] = self._interval(outcome)
                constraints = self._constraints(configuration, outcome)
                self._learn(number, configuration, outcome)
            self._database.tell(trial_id, state, values, told, constraints)
            if proposal is not None:
                self._mirror.tell(proposal, values, told, constraints)

    def leave(self, number: int, failure: Failure) -> None:
        """Leave a trial whose surroundings failed to the next run, and note why."""
        with self._lock:
            self._database.leave(self._ids[number][0], failure)

    def _claim(self, question: dict[str, object]) -> warm_start.Chosen:
        """Note in the database what the study asks; return the trials of earlier studies that it begins with.

        Raises
        ------
        WorkspaceError
            If trials of the study answer another question.
        """
        notes = self._database.notes
        if (known := cast(dict[str, object] | None, notes.get(QUESTION))) is None:
            self._database.note(QUESTION, question)
            if self.space.search.warm_start:
                others = self._database.notes_of_others(QUESTION)
                notes[CHOSEN] = warm_start.choose(self.space.lowest, question, others, self._records)
                self._database.note(CHOSEN, notes[CHOSEN])
        else:
            refuse_other_question(self.space.name, known, question)
        self._database.note(LIMITS, [str(limit) for limit in self.space.limits])
        self._database.note(SPACE, str(self.space.path.absolute()))
        self._database.note(TRIALS, self.space.trials)
        self._database.name_objectives()
        return cast(warm_start.Chosen, notes.get(CHOSEN, {}))

    def _warm_up(self, chosen: warm_start.Chosen) -> int:
        """Put trials of earlier studies into the mirror; return how many."""
        for configuration, parameters, record in warm_start.trials(self.space.lowest, chosen, self._records):
            told: Told = {"interval": self._interval(record)}
            self._mirror.add_earlier(parameters, self._values(record), told, self._constraints(configuration, record))
        return len(self._mirror)

    def _resume(self) -> None:
        """Go on after the trials that are in the database and on record."""
        constraints: dict[int, Mapping[str, float]] = {}
        complete: dict[int, Record] = {}
        for number, configuration, record in self._records.complete(self.space.name):
            self._learn(number, configuration, record)
            constraints[number], complete[number] = self._constraints(configuration, record), record
        kinds: set[str] = set()  # parameters that are known to be as they were
        for trial_id, trial in self._database.trials():
            if not trial.distributions.keys() <= kinds and self._has_these_parameters(trial):
                kinds.update(trial.distributions)
            self._refuse_odd(trial)
            now = complete.get(trial.number)
            told: Told = {"interval": self._interval(now)} if now else {}
            self._mirror.reflect(trial, constraints.get(trial.number, {}), self._values(now) if now else None, told)
            proposal = None if PROMOTED in trial.user_attrs else trial.user_attrs[PROPOSAL]
            self._enter(trial_id, proposal, trial.user_attrs[CONFIGURATION])
            if trial.state == TrialState.RUNNING:
                self._cut_off.append(trial)

    def _has_these_parameters(self, trial: FrozenTrial) -> bool:
        """Tell whether a trial's parameters are the space's; those of an odd trial are none.

        Raises
        ------
        WorkspaceError
            If they are the space's as it was before a change.
        """
        space = self.space if PROMOTED in trial.user_attrs else self.space.lowest
        try:
            now = space.distributions(self._configuration(trial))
        except (ValueError, LookupError, TypeError):
            return False
        refuse_other_parameters(self.space.name, trial.distributions, now)
        return True

    def _refuse_odd(self, trial: FrozenTrial) -> None:
        """Raise WorkspaceError if the next trial in the database is none that this study has put there."""
        why = why_odd(trial, len(self._ids), len(self.space.objectives))
        if why is None and trial.state == TrialState.RUNNING:
            try:
                evaluates = self._configuration(trial).id
            except (ValueError, LookupError, TypeError) as error:
                why = f"its parameters are none of the space's: {error}"
            else:
                why = None if evaluates == trial.user_attrs[CONFIGURATION] else "its parameters are of another one"
        if why:
            raise WorkspaceError(
                f"trial {trial.number} of study '{self.space.name}' cannot be used: {why}; "
                "put a copy of the database in its place, or choose another --workspace"
            )

    def _propose(self, configuration: Configuration | None = None) -> tuple[int, Configuration] | None:
        """Begin a trial of what the sampler proposes, or of `configuration`; return None if the study has it."""
        proposal, configuration = self._mirror.propose(self.space.lowest, configuration)
        if configuration.id in self._seen:
            self._mirror.drop(proposal)
            return None
        trial = self._mirror.noted(proposal, {CONFIGURATION: configuration.id, PROPOSAL: proposal})
        return self._enter(self._database.add(trial), proposal, configuration.id), configuration

    def _promote(self, promotion: Promotion) -> tuple[int, Configuration]:
        """Begin a trial of what is promoted, which the sampler does not learn from."""
        proposal, configuration = self._mirror.propose(self.space, promotion.configuration)
        attributes = {CONFIGURATION: configuration.id, PROPOSAL: proposal, PROMOTED: promotion.facts}
        trial_id = self._database.add(self._mirror.noted(proposal, attributes))
        self._mirror.drop(proposal)
        return self._enter(trial_id, None, configuration.id), configuration

    def _enter(self, trial_id: int, proposal: int | None, configuration_id: str) -> int:
        """Remember a trial of the study; return its number."""
        self._ids.append((trial_id, proposal))
        self._seen.add(configuration_id)
        self._proposed += proposal is not None
        return len(self._ids) - 1

    def _configuration(self, trial: FrozenTrial) -> Configuration:
        """Return what a trial evaluates; one that was not promoted has no parameter for the rungs."""
        asked_of = self.space if PROMOTED in trial.user_attrs else self.space.lowest
        return asked_of.suggest(FixedTrial(trial.params, trial.number))

    def _values(self, record: Record) -> list[float]:
        """Return the values of the objectives."""
        return [record.values[name] for name in self.space.objectives]

    def _constraints(self, configuration: Configuration, record: Record) -> dict[str, float]:
        """Return how far a complete trial lies beyond each limit, 0 where it keeps it, as Optuna's constraints."""
        device = configuration.device
        return {str(limit): limit.violation(device, record.values) for limit in self.space.limits}

    def _interval(self, record: Record) -> list[list[float]]:
        """Return the 95 % interval of every objective; of an exact one both ends are its value."""
        intervals = (Quantity.parse(name).interval(record.values) for name in self.space.objectives)
        return [[interval.low, interval.high] for interval in intervals]

    def _learn(self, number: int, configuration: Configuration, record: Record) -> None:
        """Tell a complete trial to what decides by complete trials."""
        if self._ladder:
            self._ladder.add(Finished(number, configuration, record.values))
        if self.screen:
            self.screen.add(number, configuration, record.values)


def question_of(space: Space, digests: Mapping[str, str]) -> dict[str, object]:
    """Return what must stay the same for two runs to be of one study; how it is searched may change."""
    return {
        "axes": {name: [str(choice) for choice in axis.choices] for name, axis in space.axes.items()},
        "constraints": [str(constraint) for constraint in space.constraints],
        "objectives": [list(objective) for objective in space.objectives.items()],
        "settings": space.settings.model_dump(),
        **({"rungs": space.search.rungs} if space.search.rungs else {}),
        **digests,
    }
