"""NSGA-III (Deb and Jain, IEEE TEC 2014): NSGA-II with reference directions, for four objectives and more."""

from __future__ import annotations

from optuna.samplers import BaseSampler, NSGAIIISampler

from explorer.search.samplers import _genetic
from explorer.space.space import Space

LEARNS = True


class _Sampler(_genetic.Conditional, NSGAIIISampler):
    pass


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`."""
    return _genetic.build(_Sampler, space, seed)
