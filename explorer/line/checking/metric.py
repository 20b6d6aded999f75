"""Metric of the user's own, predictions and targets → its value with a 95 % interval, or what is wrong in one sentence.

The function takes predictions, float32, shape (N, …), and targets, shape (N, …), both in NumPy. It returns a score for
each image, shape (N,), whose mean is the metric or, where the metric is no mean over images, one number for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from explorer.core import plugins
from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement.statistics import Interval

Array = NDArray[Any]
Function = Callable[[Array, Array], object]

RESAMPLES_OF_SCORES = 2000
RESAMPLES_OF_SETS = 200  # each calls the function once more, on as many images
ENDS = (0.025, 0.975)
SEED = 0


class Judge:
    """A metric's function, whose results are checked.

    Parameters
    ----------
    stage
        That a failure names.
    name
        ``module:function``.
    """

    def __init__(self, stage: str, name: str) -> None:
        self._stage, self._name = stage, name
        self._function = cast(Function, plugins.load_custom(name))

    def value(self, predictions: Array, targets: Array) -> float:
        """Return the metric of `predictions`.

        Raises
        ------
        StageFailed
            Of kind ``metric``, if the function raises, or returns neither one number nor a number for each image.
        """
        return float(np.mean(self._scores(predictions, targets)))

    def interval(self, predictions: Array, targets: Array) -> Interval:
        """Return the metric with the ends between which 95 % of its values lie if images are drawn anew (bootstrap).

        Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: the percentile interval.

        Raises
        ------
        StageFailed
            See `value`.
        """
        scores, random, count = self._scores(predictions, targets), np.random.default_rng(SEED), len(predictions)
        value = float(scores.mean())

        def drawn(resamples: int) -> Array:
            return random.integers(count, size=(resamples, count))

        if scores.ndim:
            found = np.array([scores[chosen].mean() for chosen in drawn(RESAMPLES_OF_SCORES)])
        else:
            found = np.array([self._again(predictions[chosen], targets[chosen]) for chosen in drawn(RESAMPLES_OF_SETS)])
        known = found[np.isfinite(found)]  # a draw without any image of some class may have no value
        low, high = np.quantile(known, ENDS) if len(known) else (value, value)
        return Interval(value, min(value, float(low)), max(value, float(high)))

    def _scores(self, predictions: Array, targets: Array) -> NDArray[np.float64]:
        """Return the metric of all images, shape (), or that of each, shape (N,)."""
        shapes = f"predictions of shape {predictions.shape} and targets of shape {targets.shape}, {targets.dtype}"
        try:
            found = self._function(predictions, targets)
        except Exception as error:  # whatever the user's function raises
            raise self._failed(f"raises {type(error).__name__}: {error}", shapes) from error
        wanted = f"it must return one number, or one for each image, shape ({len(predictions)},)"
        try:
            scores = np.asarray(found, np.float64)
        except (TypeError, ValueError):
            raise self._failed(f"returns a {type(found).__name__}; {wanted}", shapes) from None
        if scores.shape not in ((), (len(predictions),)):
            raise self._failed(f"returns shape {scores.shape}; {wanted}", shapes)
        if not np.isfinite(scores).all():
            worst = scores[~np.isfinite(scores)].flat[0]
            raise self._failed(f"returns {worst}; {wanted}, and all of them finite", shapes)
        return scores

    def _again(self, predictions: Array, targets: Array) -> float:
        """Return the metric of images that were drawn anew; NaN where they have none."""
        try:
            return float(np.asarray(self._function(predictions, targets), np.float64))
        except Exception:  # of whatever kind: with the images as they are, the function has a value
            return float("nan")

    def _failed(self, what: str, shapes: str) -> StageFailed:
        return StageFailed(Failure(self._stage, "metric", f"[evaluate] metric '{self._name}' {what}; it got {shapes}"))
