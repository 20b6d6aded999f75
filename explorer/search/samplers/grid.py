"""Every configuration once, in the order of the file: the paper's full studies."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from explorer.core.configuration import Configuration
from explorer.search.optuna_study.sampling import PerTrialSeed, Seen
from explorer.space.optuna_parameters import Parameters
from explorer.space.space import Space


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`; after the last configuration it draws at random.

    Raises
    ------
    SpaceError
        If an axis is continuous.
    """
    left = _Left(space)
    return PerTrialSeed(lambda trial_seed: _Grid(space, left, trial_seed), seed)


class _Left:
    """The configurations that no trial evaluates."""

    def __init__(self, space: Space) -> None:
        self._configurations = space.configurations()
        self._next: Configuration | None = next(self._configurations)  # raises where they cannot be listed
        self._seen = Seen()

    def first(self, study: Study, trial: FrozenTrial) -> Configuration | None:
        """Return the first that no trial before `trial` evaluates, None if there is none."""
        seen = self._seen.before(study, trial)
        while self._next is not None and self._next.id in seen:
            self._next = next(self._configurations, None)
        return self._next


class _Grid(BaseSampler):
    """Proposes the first configuration whose id no trial carries as its attribute ``configuration``."""

    def __init__(self, space: Space, left: _Left, seed: int) -> None:
        self._space, self._left = space, left
        self._after_last = RandomSampler(seed=seed)
        self._parameters: Parameters = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the next configuration, which fixes all of them."""
        if (configuration := self._left.first(study, trial)) is not None:
            self._parameters = self._space.distributions(configuration)
        return {name: distribution for name, (distribution, _) in self._parameters.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next configuration's parameters."""
        return {name: value for name, (_, value) in self._parameters.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value."""
        return self._after_last.sample_independent(study, trial, param_name, param_distribution)
