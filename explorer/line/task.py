"""Values of a data stage → the task that networks are trained for: what is known of an image, and what is answered.

Targets are whole numbers or floats, of any shape for each image:

- **labels**, a whole number an image: the network is a classifier, answers (N, classes) and has an accuracy;
- **masks**, a whole number a pixel, (N, H, W): the network answers (N, classes, H, W);
- **numbers**, floats of shape (N, K, …): the network answers K of them, ``classes`` being K.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABELS, MASKS, NUMBERS = "labels", "masks", "numbers"
VOID = 255  # of a mask: the class of the pixel is not known, and cross entropy leaves it out


@dataclass(frozen=True)
class Task:
    """What a network is trained for.

    Parameters
    ----------
    kind
        `LABELS`, `MASKS` or `NUMBERS`.
    classes
        What a model's function is given by this name: the number of classes, or of channels that are answered.
    targets
        The shape of an image's target; empty for labels.
    """

    kind: str
    classes: int
    targets: tuple[int, ...] = ()

    @staticmethod
    def of(values: Mapping[str, Any]) -> Task:
        """Return the task of a data stage's `values`."""
        return Task(values.get("task", LABELS), values["classes"], tuple(values.get("target_shape", ())))

    @property
    def classifies(self) -> bool:
        """Whether each image has one class, so that the network has an accuracy."""
        return self.kind == LABELS

    @property
    def loss(self) -> str:
        """The loss of networks that are given none: see `explorer.line.training.losses`."""
        return "mse" if self.kind == NUMBERS else "cross_entropy"

    def answers(self, loss: str) -> tuple[int, ...] | None:
        """Return the shape of the answer for an image that `loss` takes; None for one of the user's own."""
        if self.classifies:
            return (self.classes,)
        if ":" in loss:
            return None
        of_classes = self.kind == MASKS and (loss or self.loss) == "cross_entropy"
        return (self.classes, *self.targets) if of_classes else self.targets

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Return what images are alike in, from which the same share of each is drawn: their labels, or nothing."""
        return targets if self.classifies else np.zeros(len(targets), np.int64)


def kind_of(targets: NDArray[Any]) -> str:
    """Return the kind of a data set's targets, (N, …), by their dtype and number of dimensions."""
    if targets.dtype.kind == "f":
        return NUMBERS
    return LABELS if targets.ndim == 1 else MASKS
