"""Multi-objective tree-structured Parzen estimator (Ozaki et al., GECCO 2020), joint over the axes."""

from __future__ import annotations

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler

from explorer.search.optuna_study.sampling import PerTrialSeed
from explorer.space.space import Space

LEARNS = True


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`."""
    # A fifth of the trials is random, Optuna's 10 at most: the estimator needs some, a short study cannot spare more.
    startup = max(4, min(10, space.trials // 5))
    return PerTrialSeed(lambda trial_seed: _estimator(trial_seed, startup), seed)


def _estimator(seed: int, startup: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Layers interact (which algorithm is best depends on compression and device), so the density is joint;
        # grouped, because not every trial has every parameter.
        return TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, group=True)
