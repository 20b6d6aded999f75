"""Quasi-random: each trial is a point of a scrambled Sobol sequence (Owen 1998), one dimension per axis.

Optuna's own has dimensions for numbers only and for parameters that all trials have: here hardly any.
"""

from __future__ import annotations

import math
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.stats import qmc

from explorer.core.configuration import AXES
from explorer.space.space import Space


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`."""
    return _Sobol(seed)


class _Sobol(BaseSampler):
    """Proposes for trial n what point n of the sequence says; it learns nothing and keeps nothing."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return none: every parameter is proposed when it is asked for."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value at the point's coordinate on the parameter's axis."""
        sequence = qmc.Sobol(len(AXES), scramble=True, rng=self._seed)
        # Workaround: scipy 1.17: fast_forward(0) raises OverflowError; tests/workarounds
        if trial.number:
            sequence.fast_forward(trial.number)
        # Part of an axis' choices are a parameter of their own; see `explorer.space.optuna_parameters.parameter`.
        share = sequence.random(1)[0, AXES.index(param_name.partition("[")[0])]
        return _at(param_distribution, float(share))


def _at(distribution: BaseDistribution, share: float) -> Any:
    """Return the value below which `share` of the distribution lies."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[int(share * len(choices))]
        case FloatDistribution(low=low, high=high, step=None, log=log):
            return math.exp(math.log(low) + share * math.log(high / low)) if log else low + share * (high - low)
        case FloatDistribution(low=low, high=high, step=step) if step:
            return low + step * int(share * (round((high - low) / step) + 1))
        case IntDistribution(low=low, high=high, step=step, log=False):
            return low + step * int(share * ((high - low) // step + 1))
        case IntDistribution(low=low, high=high):
            return min(high, int(math.exp(math.log(low) + share * math.log((high + 1) / low))))
    raise TypeError(f"{type(distribution).__name__} is no distribution of a space")
