"""The Gaussian process while trials are few, NSGA-II from then on: the default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from explorer.search.samplers import gp, nsga2
from explorer.space.space import Space

LEARNS = True
FEW = 200  # with more, the process takes longer for a proposal than many a trial does


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`."""
    return _Auto(gp.build(space, seed), nsga2.build(space, seed, first=FEW))


class _Auto(BaseSampler):
    """Asks the one sampler for the first `FEW` trials, those of earlier studies among them, and then the other."""

    def __init__(self, few: BaseSampler, many: BaseSampler) -> None:
        self._few, self._many = few, many

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Pass the call on."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Pass the call on."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Pass the call on."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Pass the call on."""
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass the call on."""
        self._of(trial).after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        return self._few if trial.number < FEW else self._many
