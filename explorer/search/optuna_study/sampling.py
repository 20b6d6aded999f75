"""A sampler with a seed → a sampler whose proposal for trial n depends on the seed, n and the study's history alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from explorer.core import plugins
from explorer.core.configuration import digest
from explorer.search.optuna_study.optuna_database import CONFIGURATION, TOLD, trials_of
from explorer.space.space import Space


class SamplerPlugin(Protocol):
    """A module in ``explorer/search/samplers``; it may say ``LEARNS = True``, if proposals depend on values."""

    def build(self, space: Space, seed: int) -> BaseSampler:
        """Return the sampler for `space`.

        Raises
        ------
        SpaceError
            If it is none for such a space.
        """


def sampler_of(space: Space) -> BaseSampler:
    """Return the sampler that ``[search]`` asks for; with rungs it proposes on the lowest one."""
    plugin = cast(SamplerPlugin, plugins.load("sampler", space.sampler))
    return plugin.build(space.lowest, space.search.seed)


def interval(trial: FrozenTrial) -> list[list[float]]:
    """Return the 95 % interval of every objective of a complete trial; of an exact one both ends are its value."""
    found: list[list[float]] = trial.user_attrs.get(TOLD, {}).get("interval") or [[value] * 2 for value in trial.values]
    return found


def seconds(trial: FrozenTrial) -> float | None:
    """Return what a trial took, None where it has not ended or was another study's."""
    found: float | None = trial.user_attrs.get(TOLD, {}).get("seconds")
    return found


class Seen:
    """The configurations that a study's trials evaluate, each trial read once.

    A sampler that read all trials for every one that is asked for would take longer than most stages.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._read = 0

    def before(self, study: Study, trial: FrozenTrial) -> set[str]:
        """Return the ids of the configurations of all trials before `trial`."""
        new = trials_of(study, range(self._read, trial.number))
        self._ids.update(other.user_attrs[CONFIGURATION] for other in new if CONFIGURATION in other.user_attrs)
        self._read = max(self._read, trial.number)
        return self._ids


class PerTrialSeed(BaseSampler):
    """Asks a fresh sampler, seeded with the study's seed, the trial's number and the parameter's name.

    Optuna's samplers carry one generator from trial to trial, so a study that is killed and resumed would go on from
    another state than the undisturbed one.

    Parameters
    ----------
    make
        Seed, below 2**32 → sampler.
    seed
        Of the study.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        # Samplers keep what they inferred for the call of `sample_relative` that follows.
        self._inferring: dict[int, BaseSampler] = {}
        self._unseeded = make(0)  # for the calls that draw nothing

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that the trial's own sampler proposes together."""
        sampler = self._inferring[trial.number] = self._sampler(trial, "relative")
        return sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the trial's own sampler's proposal for `search_space`."""
        return self._inferring.pop(trial.number).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the proposal for one parameter, which does not depend on those asked before it."""
        sampler = self._sampler(trial, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Pass the call on; none of the samplers draws in it."""
        self._unseeded.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass the call on."""
        self._unseeded.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Do nothing: parallel trials have different numbers, hence different seeds."""

    def _sampler(self, trial: FrozenTrial, purpose: str) -> BaseSampler:
        return self._make(int(digest([self._seed, trial.number, purpose])[:8], 16))
