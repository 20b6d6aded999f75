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

from explorer.sampling import PerTrialSeed
from explorer.space import Space

CROSSOVER = 0.9  # Deb et al., IEEE TEC 2002


def build(sampler: Callable[[int, int], BaseSampler], space: Space, seed: int) -> BaseSampler:
    """Return what asks a `sampler`, which is made of a population's size and a seed, for `space`."""
    # The first generation is random. A quarter of the trials leaves three generations that learn from it; below 8
    # individuals crossover has nothing to recombine, and Optuna's default of 50 suits studies of 200 trials and more.
    population = max(8, min(50, space.trials // 4))
    return PerTrialSeed(lambda trial_seed: sampler(population, trial_seed), seed)


class Conditional(BaseSampler):
    """Put before a genetic algorithm of Optuna's, makes it one over all parameters seen so far.

    Optuna's recombines only parameters that every trial has: here ratio, and every axis that a constraint touches,
    would be drawn at random for ever. A parameter's name determines its distribution (see `explorer.encoding`), and
    values that the child's other choices rule out are not asked for, so inheriting them is safe.
    """

    def __init__(self, population: int, seed: int) -> None:
        self._generator = random.Random(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(population_size=population, seed=seed, child_generation_strategy=self._child)  # type: ignore[call-arg]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return every parameter of every completed trial."""
        completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return {name: each.distributions[name] for each in completed for name in each.params}

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
