"""NSGA-II (Deb et al., IEEE TEC 2002), with a crossover that keeps parameters which only some parents have."""

from __future__ import annotations

from optuna.samplers import BaseSampler, NSGAIISampler

from explorer.search.samplers import _genetic
from explorer.space.space import Space

LEARNS = True


class _Sampler(_genetic.Conditional, NSGAIISampler):
    pass


def build(space: Space, seed: int, first: int = 0) -> BaseSampler:
    """Return the sampler for `space`, whose first generation is, or begins with, the `first` trials of the study."""
    return _genetic.build(_Sampler, space, seed, first)
