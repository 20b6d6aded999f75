"""Genetic algorithms over parameters that only some trials have: crossover, mutation and selection of parents."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from explorer.search.optuna_study.optuna_database import EARLIER, storage_of, trials_of
from explorer.search.optuna_study.sampling import PerTrialSeed
from explorer.space.space import Space

CROSSOVER = 0.9  # Deb et al., IEEE TEC 2002

# System attributes: of a trial its generation and, with a generation behind it, of a study the numbers of its parents.
# Both are called as Optuna derives it from a class `_Sampler`, since trials on record have the first.
GENERATION = "_Sampler:generation"
PARENTS = "_Sampler:parent:"


def build(
    sampler: Callable[[int, Generations, int], BaseSampler], space: Space, seed: int, first: int = 0
) -> BaseSampler:
    """Return the sampler for `space` that `sampler` makes from a population's size, its generations and a seed."""
    # The first generation is random. A quarter of the trials leaves three generations that learn from it; below 8
    # individuals crossover has nothing to recombine, and Optuna's default of 50 suits studies of 200 trials and more.
    population, generations = max(8, min(50, space.trials // 4)), Generations(first)
    return PerTrialSeed(lambda trial_seed: sampler(population, generations, trial_seed), seed)


class Generations:
    """The complete trials of one study by generation; each look reads only those that ended since the one before.

    Optuna's own samplers read all trials for each one that is asked for.

    Parameters
    ----------
    first
        How many trials are the first generation's, whoever proposed them.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._trials: dict[int, list[FrozenTrial]] = {}
        self._open: list[int] = []  # numbers of the trials that had not ended
        self._read = 0

    def before(self, study: Study, trial: FrozenTrial) -> dict[int, list[FrozenTrial]]:
        """Return generation → its complete trials before `trial`; those of earlier studies are the first one's."""
        new, self._open = [*self._open, *range(self._read, trial.number)], []
        self._read = max(self._read, trial.number)
        for other in trials_of(study, new):
            if not other.state.is_finished():
                self._open.append(other.number)
            elif other.state == TrialState.COMPLETE and (generation := self._generation(other)) is not None:
                self._trials.setdefault(generation, []).append(other)
        return self._trials

    def _generation(self, trial: FrozenTrial) -> int | None:
        """Return the generation that a trial is of, None for one that was not proposed but had not been evaluated."""
        if GENERATION in trial.system_attrs:
            return int(trial.system_attrs[GENERATION])
        return 0 if trial.number < self._first or EARLIER in trial.user_attrs else None

    def __getitem__(self, generation: int) -> list[FrozenTrial]:
        """Return the complete trials of a generation that were read, in the order of their numbers."""
        return sorted(self._trials.get(generation, ()), key=lambda trial: trial.number)


class Conditional(BaseSampler):
    """A base class before one of Optuna's genetic algorithms, which then recombines all parameters seen so far.

    Optuna's recombines only parameters that every trial has: here ratio, and every axis that a constraint touches,
    would be drawn at random for ever. A parameter's name determines its distribution (see
    `explorer.space.optuna_parameters`), and values that the child's other choices rule out are not asked for, so
    inheriting them is safe.
    """

    def __init__(self, population: int, generations: Generations, seed: int) -> None:
        self._generator, self._generations = random.Random(seed), generations
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(population_size=population, seed=seed, child_generation_strategy=self._child)  # type: ignore[call-arg]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return every parameter of the trial's possible parents."""
        parents = self.get_parent_population(study, self.get_trial_generation(study, trial))
        return {name: each.distributions[name] for each in parents for name in each.params}

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """Return the trial's generation: the latest one or, if that is complete, the next."""
        if GENERATION in trial.system_attrs:
            return int(trial.system_attrs[GENERATION])
        known = self._generations.before(study, trial)
        latest = max(known, default=0)
        full = len(known.get(latest, ())) >= self.population_size  # type: ignore[attr-defined]
        found = latest + 1 if full else latest
        storage, study_id = storage_of(study)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        storage.set_trial_system_attr(trial_id, GENERATION, found)
        return found

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the complete trials of a generation, in the order of their numbers."""
        return self._generations[generation]

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the trials that a generation's may have as parents.

        Those of a generation are chosen from the one before and its parents, when it begins or is first asked for by a
        process that goes on with a study: Optuna's own goes back by recursion, too deep after 300 generations.
        """
        storage, study_id = storage_of(study)
        known = storage.get_study_system_attrs(study_id)
        first = next((number for number in range(generation, 0, -1) if f"{PARENTS}{number}" in known), 0) + 1
        for number in range(first, generation + 1):
            parents = [parent.number for parent in self.select_parent(study, number)]  # type: ignore[attr-defined]
            storage.set_study_system_attr(study_id, f"{PARENTS}{number}", parents)
        numbers = storage.get_study_system_attrs(study_id).get(f"{PARENTS}{generation}", [])
        return list(trials_of(study, sorted(numbers)))

    def _child(
        self, study: Study, search_space: dict[str, BaseDistribution], parents: list[FrozenTrial]
    ) -> dict[str, Any]:
        """Return the parameters of a child; those left out mutate: they are drawn at random when asked for."""
        # Optuna orders parents by rank when it selects them and by number when it reads them back.
        parents = sorted(parents, key=lambda parent: parent.number)
        mother, father = self._winner(parents, study), self._winner(parents, study)
        child = dict(mother.params)
        if self._generator.random() < CROSSOVER:
            names = sorted({*mother.params, *father.params})
            child = {name: self._inherit(name, mother, father) for name in names}
        mutation = 1 / max(1, len(child))
        return {name: value for name, value in child.items() if self._generator.random() >= mutation}

    def _winner(self, parents: list[FrozenTrial], study: Study) -> FrozenTrial:
        """Return the better of two random parents, the first unless the second dominates it."""
        first, second = self._generator.choice(parents), self._generator.choice(parents)
        return second if _dominates(second, first, study.directions) else first

    def _inherit(self, name: str, mother: FrozenTrial, father: FrozenTrial) -> Any:
        """Return the value of a random parent, or of the only one that has the parameter."""
        giver, other = (mother, father) if self._generator.random() < 0.5 else (father, mother)
        return giver.params[name] if name in giver.params else other.params[name]


def _dominates(a: FrozenTrial, b: FrozenTrial, directions: list[StudyDirection]) -> bool:
    """Tell whether `a` breaks limits less than `b` or, if as much, is better: constrained domination, Deb et al."""
    broken_by_a, broken_by_b = sum(a.constraints.values()), sum(b.constraints.values())
    if broken_by_a != broken_by_b:
        return broken_by_a < broken_by_b
    signs = [-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in directions]
    losses = [(sign * x, sign * y) for sign, x, y in zip(signs, a.values, b.values, strict=True)]
    return all(x <= y for x, y in losses) and any(x < y for x, y in losses)
