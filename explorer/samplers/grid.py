"""Every configuration once, in the order of the file: the paper's full studies."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from explorer import encoding
from explorer.sampling import PerTrialSeed
from explorer.space import Space


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`; after the last configuration it draws at random.

    Raises
    ------
    SpaceError
        If an axis is continuous.
    """
    next(space.configurations())  # raises where they cannot be listed
    return PerTrialSeed(lambda trial_seed: _Grid(space, trial_seed), seed)


class _Grid(BaseSampler):
    """Proposes the first configuration whose id no trial carries as its attribute ``configuration``."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._after_last = RandomSampler(seed=seed)
        self._parameters: dict[str, tuple[BaseDistribution, Any]] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the next configuration, which fixes all of them."""
        # The trial's own attribute does not count: a resumed trial proposes the same configuration again.
        others = (other for other in study.get_trials(deepcopy=False) if other.number != trial.number)
        seen = {other.user_attrs.get("configuration") for other in others}
        for configuration in self._space.configurations():
            if configuration.id not in seen:
                self._parameters = encoding.distributions(self._space, configuration)
                break
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
