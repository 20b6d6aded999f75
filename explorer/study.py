"""Space and workspace → the Optuna study in the workspace's database: what is next, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from explorer import plugins
from explorer.configuration import Configuration, digest
from explorer.errors import Failure, WorkspaceError
from explorer.records import BUSY_SECONDS, Record, Records, tune_sqlite
from explorer.space import Space, unseen
from explorer.workspace import Workspace

CONFIGURATION = "configuration"  # user attribute of an Optuna trial: the id of what it evaluates
PROPOSAL = "proposal"  # user attribute: how many proposals the sampler had made before this one
QUESTION = "question"  # user attribute of the study: the space, in short
MAX_DUPLICATES = 5  # proposals in a row that are known already, before one is drawn that is not


class Study:
    """The Optuna study of one space in one workspace, with the explorer's records beside it.

    A trial exists from `ask` to `tell`. One that was cut off between the two is given out again first, with the
    parameters it had, so nothing is lost; its outcome is recorded before Optuna is told, so nothing counts twice.

    The sampler works on a mirror of the study in memory, where a proposal that is known already stays as a failed
    trial that samplers ignore. Asking the database parameter by parameter would take longer than all else that a trial
    with cached stages does, and would leave such proposals there.

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
        self._storage = optuna.storages.RDBStorage(
            workspace.url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}}
        )
        tune_sqlite(self._storage.engine)
        directions = list(space.objectives.values())
        study = optuna.create_study(
            study_name=space.name, storage=self._storage, directions=directions, load_if_exists=True
        )
        _check_question(study, {**_question(space), **digests})
        self._study_id = self._storage.get_study_id_from_name(space.name)
        sampler = plugins.load("sampler", space.sampler).build(space, space.seed)
        self._mirror = optuna.create_study(sampler=sampler, directions=directions)
        self._ids: list[tuple[int, int]] = []  # by number: the trial's id in the storage, and its number in the mirror
        self._seen: set[str] = set()
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            self._reflect(trial)
        self._cut_off = [trial for trial in trials if trial.state == TrialState.RUNNING]

    def ask(self) -> tuple[int, Configuration] | None:
        """Return the number and configuration of the next trial, never one that the study has; None when all are in."""
        with self._lock:
            if self._cut_off:
                trial = self._cut_off.pop(0)
                return trial.number, self.space.suggest(FixedTrial(trial.params, trial.number))
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
            state, values = TrialState.FAIL, None
            if isinstance(outcome, Record):
                state, values = TrialState.COMPLETE, [outcome.values[name] for name in self.space.objectives]
            trial_id, proposal = self._ids[number]
            self._storage.set_trial_state_values(trial_id, state, values)
            self._mirror.tell(proposal, values, state if values is None else None)

    def _propose(self) -> tuple[int, Configuration] | None:
        """Ask the sampler once and store its proposal; return None if the study has that configuration already."""
        asked = self._mirror.ask()
        configuration = self.space.suggest(asked)
        if configuration.id in self._seen:
            self._mirror.tell(asked, state=TrialState.FAIL)
            return None
        asked.set_user_attr(CONFIGURATION, configuration.id)
        asked.set_user_attr(PROPOSAL, asked.number)
        proposed = self._mirror.get_trials(deepcopy=False)[asked.number]
        self._ids.append((self._storage.create_new_trial(self._study_id, proposed), asked.number))
        self._seen.add(configuration.id)
        return len(self._ids) - 1, configuration

    def _reflect(self, trial: FrozenTrial) -> None:
        """Put a stored trial into the mirror, under the number that its proposal had there."""
        while len(self._mirror.get_trials(deepcopy=False)) < trial.user_attrs[PROPOSAL]:
            self._mirror.add_trial(create_trial(state=TrialState.FAIL))
        self._mirror.add_trial(trial)
        self._ids.append((trial._trial_id, trial.user_attrs[PROPOSAL]))
        self._seen.add(trial.user_attrs[CONFIGURATION])


def _check_question(study: optuna.Study, question: dict[str, Any]) -> None:
    """Refuse to go on with a study whose trials answer another question."""
    known = study.user_attrs.get(QUESTION)
    if known is None:
        study.set_user_attr(QUESTION, question)
    elif digest(known) != digest(question):
        changed = sorted(key for key in {*known, *question} if known.get(key) != question.get(key))
        raise WorkspaceError(
            f"the workspace's study '{study.study_name}' was made with other {' and '.join(changed)}; "
            "choose another --workspace, or give the space another name"
        )


def _question(space: Space) -> dict[str, Any]:
    """Return what must stay the same for two runs to be of one study; trials, sampler and seed may change."""
    return {
        "axes": {name: [str(choice) for choice in axis.choices] for name, axis in space.axes.items()},
        "constraints": [str(constraint) for constraint in space.constraints],
        "objectives": [list(objective) for objective in space.objectives.items()],
        "settings": space.settings.model_dump(),
    }
