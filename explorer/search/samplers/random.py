"""Uniform random choices on every axis: the baseline that a search has to beat."""

from __future__ import annotations

from optuna.samplers import BaseSampler, RandomSampler

from explorer.search.optuna_study.sampling import PerTrialSeed
from explorer.space.space import Space


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`."""
    return PerTrialSeed(lambda trial_seed: RandomSampler(seed=trial_seed), seed)
