"""Gaussian process over whole configurations: expected improvement a second of random scalarisations of the objectives.

Sources: Knowles, "ParEGO", IEEE TEC 2006; improvement a second: Snoek, Larochelle and Adams, "Practical Bayesian
Optimization of Machine Learning Algorithms", NeurIPS 2012. Optuna's own models only parameters that all trials have,
and needs torch, which stays in the workers.

Trials that break a limit of the space count as worse than all that keep them, whatever they reach; see `scored`. The
process knows each trial's noise by the intervals of its values.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from explorer.core.configuration import AXES, Configuration
from explorer.search.grids.expected_seconds import Costs
from explorer.search.optuna_study.optuna_database import EARLIER
from explorer.search.optuna_study.sampling import PerTrialSeed, interval, seconds
from explorer.space.axes import Axis
from explorer.space.optuna_parameters import Parameters
from explorer.space.space import Space

LEARNS = True

# To fit takes time with the cube of the trials: the latest ones say most about where to go on.
MOST_TRIALS = 300
STARTUP = 4  # trials at random before: they share little with one another and so are the dearest
MOST_STEPS = 20  # of the search for the process' parameters
CANDIDATES = 1000
COSTED = 200  # candidates whose costs are looked at
WIDTH = 2 * 1.96  # of a 95 % interval, in standard deviations
JITTER = 1e-10  # least variance of a score, so that equal configurations leave the process solvable
AUGMENTED = 0.05  # share of the sum in a scalarisation, as in the paper

Array = NDArray[np.float64]


def build(space: Space, seed: int) -> BaseSampler:
    """Return the sampler for `space`."""
    memory = _Memory(space)
    return PerTrialSeed(lambda trial_seed: _ParEGO(memory, trial_seed), seed)


class _Memory:
    """Configurations and features of the trials of one study, each computed once."""

    def __init__(self, space: Space) -> None:
        self.space, self.costs = space, Costs(space)
        self._configurations: dict[int, Configuration] = {}
        self._features: dict[int, Array] = {}

    def configuration(self, trial: FrozenTrial) -> Configuration:
        """Return what a trial evaluates."""
        if trial.number not in self._configurations:
            self._configurations[trial.number] = self.space.suggest(FixedTrial(trial.params, trial.number))
        return self._configurations[trial.number]

    def features(self, trial: FrozenTrial) -> Array:
        """Return the features of what a trial evaluates."""
        if trial.number not in self._features:
            self._features[trial.number] = features(self.configuration(trial), self.space.axes)
        return self._features[trial.number]


class _ParEGO(BaseSampler):
    """Proposes the configuration with the most expected improvement for the seconds that it takes."""

    def __init__(self, memory: _Memory, seed: int) -> None:
        self._memory, self._space, self._seed = memory, memory.space, seed
        self._after = RandomSampler(seed=seed)
        self._parameters: Parameters = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters of the configuration to propose, which fixes all of them."""
        before = study.get_trials(deepcopy=False)[: trial.number]
        complete = [each for each in before if each.state == TrialState.COMPLETE][-MOST_TRIALS:]
        drawn = random.Random(self._seed)
        chosen = self._space.draw(drawn)
        if len(complete) >= STARTUP:
            candidates = self._candidates(before, drawn)
            if candidates:
                improvement = self._improvement(study.directions, complete, candidates)
                chosen = self._most_promising(before, candidates, improvement)
        self._parameters = self._space.distributions(chosen)
        return {name: distribution for name, (distribution, _) in self._parameters.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the configuration's parameters."""
        return {name: value for name, (_, value) in self._parameters.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value."""
        return self._after.sample_independent(study, trial, param_name, param_distribution)

    def _candidates(self, before: Sequence[FrozenTrial], drawn: random.Random) -> list[Configuration]:
        """Return configurations that no trial of the study evaluates; none where all that were drawn are known."""
        own = (trial for trial in before if trial.params and EARLIER not in trial.user_attrs)
        seen = {self._memory.configuration(trial) for trial in own}
        return [each for each in self._space.draw_distinct(drawn, CANDIDATES) if each not in seen]

    def _improvement(
        self, directions: Sequence[StudyDirection], complete: Sequence[FrozenTrial], candidates: Sequence[Configuration]
    ) -> Array:
        """Return by how much each candidate is expected to improve on the complete trials, by weights at random."""
        weights = np.random.default_rng(self._seed).dirichlet(np.ones(len(directions)))
        values = np.array([trial.values for trial in complete])
        ends = np.array([interval(trial) for trial in complete])
        broken = np.array([sum(trial.constraints.values()) for trial in complete], dtype=float)
        scores, deviations = scored(values, ends, broken, directions, weights)
        return expected_improvement(
            np.stack([self._memory.features(trial) for trial in complete]),
            scores,
            deviations,
            np.stack([features(candidate, self._space.axes) for candidate in candidates]),
        )

    def _most_promising(
        self, before: Sequence[FrozenTrial], candidates: Sequence[Configuration], improvement: Array
    ) -> Configuration:
        """Return the candidate of most expected improvement a second, of the `COSTED` that improve most."""
        best = np.argsort(-improvement, kind="stable")[:COSTED]
        # The seconds of a failed trial tell nothing of stages that it did not reach, though these may be in the store.
        taken = {trial.number: seconds(trial) for trial in before if trial.state == TrialState.COMPLETE}
        tried = [(self._memory.configuration(trial), taken.get(trial.number)) for trial in before if trial.params]
        costs = self._memory.costs.seconds(tried, [candidates[place] for place in best])
        return candidates[int(best[np.argmax(improvement[best] / costs)])]


def features(configuration: Configuration, axes: Mapping[str, Axis]) -> Array:
    """Return a configuration as numbers: one per choice of a list, and where a number lies in its axis' range."""
    found: list[float] = []
    for name in AXES:
        value, axis = getattr(configuration, name), axes[name]
        numbers = [choice for choice in axis.choices if isinstance(choice, (int, float))]
        low, high = (
            (axis.range.low, axis.range.high) if axis.range else (min(numbers, default=0), max(numbers, default=0))
        )
        if high > low:
            found.append((value - low) / (high - low) if isinstance(value, (int, float)) else 0.0)
        if axis.range is None and len(axis.choices) > 1:
            found += [float(value == choice) for choice in axis.choices]
    return np.array(found)


def scored(
    values: Array, ends: Array, broken: Array, directions: Sequence[StudyDirection], weights: Array
) -> tuple[Array, Array]:
    """Return one number a trial, to be minimised, with its standard deviation: scalarised values, then what is broken.

    Trials that break a limit are ordered by their violations alone, behind all others, so that nothing too slow
    attracts by its accuracy. Violations have no bound and are squeezed into [0, 1): one far off would leave no
    differences between all others for the process.

    Parameters
    ----------
    values : trials x objectives, as in `scalarised`
    ends : trials x objectives x 2: the 95 % interval of each value
    broken : each trial's violation of all limits, 0 where it keeps them
    """
    kept = broken == 0
    scores, deviations = np.zeros(len(values)), np.zeros(len(values))
    if kept.any():
        scores[kept], deviations[kept] = scalarised(values[kept], ends[kept], directions, weights)
    scores[~kept] = scores.max() + broken[~kept] / (1 + broken[~kept])
    return scores, deviations


def scalarised(values: Array, ends: Array, directions: Sequence[StudyDirection], weights: Array) -> tuple[Array, Array]:
    """Return one number a trial, to be minimised: the augmented Tchebycheff norm of its weighted, scaled objectives.

    Its standard deviation is that of the objectives' weighted sum, which is never less than that of their maximum.

    Parameters
    ----------
    values : trials x objectives; those to be minimised are compared by their ratios where all are above 0
    ends : trials x objectives x 2: the 95 % interval of each value
    """
    scaled, widths = [], []
    for column, (low, high), direction in zip(values.T, ends.transpose(1, 2, 0), directions, strict=True):
        if direction == StudyDirection.MAXIMIZE:
            column = -column
        elif min(column.min(), low.min()) > 0:
            column, low, high = np.log(column), np.log(low), np.log(high)
        spread = np.ptp(column) or 1.0
        scaled.append((column - column.min()) / spread)
        widths.append((high - low) / spread)
    weighted = weights * np.stack(scaled, axis=1)
    scores: Array = weighted.max(axis=1) + AUGMENTED * weighted.sum(axis=1)
    deviations: Array = (1 + AUGMENTED) * np.linalg.norm(weights * np.stack(widths, axis=1) / WIDTH, axis=1)
    return scores, deviations


def expected_improvement(known: Array, scores: Array, deviations: Array, candidates: Array) -> Array:
    """Return by how much each candidate is expected to fall below the least that is expected of the trials known.

    Expected, not scored: the least of noisy scores is one that noise made small.

    Parameters
    ----------
    known, candidates : features, one row each
    deviations : standard deviation of each score
    """
    from scipy.optimize import minimize
    from scipy.stats import norm
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    def fitted(objective: Any, start: Array, bounds: Array) -> tuple[Array, float]:
        found = minimize(objective, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": MOST_STEPS})
        return found.x, found.fun

    kernel = ConstantKernel() * Matern(np.full(known.shape[1], 2.0), (0.1, 100.0), nu=2.5) + WhiteKernel(1e-2)
    noise = (deviations / (scores.std() or 1.0)) ** 2  # of the scores as the process normalises them
    process = GaussianProcessRegressor(kernel, alpha=np.maximum(noise, JITTER), normalize_y=True, optimizer=fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter at its bound: a choice that does not matter
        process.fit(known, scores)
    mean, deviation = process.predict(candidates, return_std=True)
    gained = process.predict(known).min() - mean
    ratio = gained / np.maximum(deviation, 1e-12)
    improvement: Array = gained * norm.cdf(ratio) + deviation * norm.pdf(ratio)
    return improvement
