"""A sampler and the trials of a study → proposals: the Optuna study in memory that the sampler works on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.core.configuration import Configuration
from explorer.search.optuna_study.optuna_database import (
    EARLIER,
    PROMOTED,
    PROPOSAL,
    TOLD,
    Told,
    annotate,
    with_constraints,
)
from explorer.space.optuna_parameters import Parameters
from explorer.space.space import Space
from explorer.space.toml.space_file import Direction


class Mirror:
    """The study that the sampler sees, in memory.

    Asking the database parameter by parameter would take longer than all else that a trial with cached stages does. A
    proposal that the study has already stays here as a failed trial, which samplers ignore, and does not get into the
    database. A trial that was promoted is such a one, too: a stack is not better than its neighbours for having been
    tuned. One that was skipped failed likewise: it has no values.

    Trials have the values here that are on record now, and the constraints of the present limits; Optuna lets nobody
    change a finished trial in the database.

    Parameters
    ----------
    directions
        Of the objectives.
    """

    def __init__(self, sampler: BaseSampler, directions: Iterable[Direction]) -> None:
        self._storage = InMemoryStorage()
        self.study = optuna.create_study(storage=self._storage, sampler=sampler, directions=list(directions))
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self._size = 0

    def __len__(self) -> int:
        """Return the number of trials, which is that of the next one."""
        return self._size

    def propose(self, space: Space, configuration: Configuration | None = None) -> tuple[int, Configuration]:
        """Begin a trial with what the sampler proposes in `space`, or with `configuration`.

        Returns
        -------
        Its number here, and what it evaluates.
        """
        if configuration is not None:
            self.study.enqueue_trial(space.parameters(configuration))
        asked = self.study.ask()
        self._size = max(self._size, asked.number + 1)
        return asked.number, space.suggest(asked)

    def drop(self, number: int) -> None:
        """Give up a trial that was begun: samplers ignore it."""
        self.study.tell(number, state=TrialState.FAIL)

    def noted(self, number: int, attributes: Mapping[str, object]) -> FrozenTrial:
        """Return a trial once it has these user `attributes`."""
        trial_id = self._trial_id(number)
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(trial_id, name, value)
        return self._storage.get_trial(trial_id)

    def begin(self, parameters: Parameters, attributes: Mapping[str, object]) -> FrozenTrial:
        """Begin a trial that the sampler did not propose; return it with its user `attributes`."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params={name: value for name, (_, value) in parameters.items()},
            distributions={name: distribution for name, (distribution, _) in parameters.items()},
            user_attrs=dict(attributes),
        )
        self._add(trial)
        return trial

    def add_earlier(
        self, parameters: Parameters, values: Sequence[float], told: Told, constraints: Mapping[str, float]
    ) -> None:
        """Add a complete trial of an earlier study."""
        trial = create_trial(
            params={name: value for name, (_, value) in parameters.items()},
            distributions={name: distribution for name, (distribution, _) in parameters.items()},
            values=values,
            user_attrs={EARLIER: True, TOLD: told},
            constraints=dict(constraints),
        )
        self._add(trial)

    def reflect(
        self, stored: FrozenTrial, constraints: Mapping[str, float], values: Sequence[float] | None, told: Told
    ) -> None:
        """Add a trial from the database with its present constraints, under the number that its proposal had here.

        Parameters
        ----------
        values
            What is on record of it now, by later sessions or on another device; None where it is not complete.
        told
            The same in place of what it was told.
        """
        while self._size < stored.user_attrs[PROPOSAL]:
            self._add(create_trial(state=TrialState.FAIL))
        if PROMOTED in stored.user_attrs:
            self._add(create_trial(state=TrialState.FAIL))
            return
        trial = with_constraints(stored, constraints)
        if trial.state == TrialState.PRUNED:
            trial.state = TrialState.FAIL
        if trial.state == TrialState.COMPLETE and values is not None:
            trial.values = list(values)
            trial.user_attrs = {**trial.user_attrs, TOLD: {**trial.user_attrs.get(TOLD, {}), **told}}
        self._add(trial)

    def tell(self, number: int, values: Sequence[float] | None, told: Told, constraints: Mapping[str, float]) -> None:
        """End a trial, with its `values` if it is complete."""
        annotate(self.study, self._trial_id(number), told, constraints)
        self.study.tell(number, values, TrialState.FAIL if values is None else None)

    def _add(self, trial: FrozenTrial) -> None:
        self.study.add_trial(trial)
        self._size += 1

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
