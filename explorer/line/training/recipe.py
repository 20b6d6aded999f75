"""Settings of a stage that trains → the recipe in them: how long, in what steps and how fast weights are learned."""

from __future__ import annotations

from dataclasses import dataclass, fields

from explorer.core.settings import CompressSettings, TrainSettings


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum under a one-cycle schedule.

    Parameters
    ----------
    epochs
        Passes over the training split.
    learning_rate
        The schedule's peak.
    weight_decay
        L2 penalty.
    label_smoothing
        Share of the target spread evenly over all classes (Szegedy et al., arXiv 1512.00567).

    Notes
    -----
    A batch whose activations would fill memory is split into equal parts, whose gradients are summed: the mean over the
    batch stays exact, and batch norm sees the parts.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    label_smoothing: float = 0.0

    @staticmethod
    def of(settings: TrainSettings | CompressSettings) -> Recipe:
        """Return the recipe that a stage's settings hold among others."""
        return Recipe(**{field.name: getattr(settings, field.name) for field in fields(Recipe)})
