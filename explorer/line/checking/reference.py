"""A network's answers → the files that stages keep of them, and how far another's answers lie from them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explorer.line.prepared import Prepared

Floats = NDArray[np.float32]

ANSWERS = "answers.npz"
SPLITS = ("validation", "test")  # whose images networks answer
REFERENCE_IMAGES = 64
REFERENCE = "reference.npz"


class Reference(NamedTuple):
    """The outputs that every compiled form of a network has to compute, up to rounding.

    Parameters
    ----------
    images
        As networks take them, shape (N, C, H, W).
    logits
        The network's outputs for them, shape (N, classes).
    """

    images: Floats
    logits: Floats

    @staticmethod
    def inputs(splits: Prepared) -> Floats:
        """Return the images that references are of: the first test images."""
        return splits.test[:REFERENCE_IMAGES]

    @staticmethod
    def load(folder: Path) -> Reference:
        """Read what `save` wrote."""
        with np.load(folder / REFERENCE) as arrays:
            return Reference(arrays["images"], arrays["logits"])

    def save(self, folder: Path) -> None:
        """Write ``reference.npz``."""
        np.savez(folder / REFERENCE, images=self.images, logits=self.logits)

    @property
    def range(self) -> float:
        """The largest logit's magnitude, which deviations are shares of."""
        return float(np.abs(self.logits).max())

    def deviations(self, logits: Floats) -> Floats:
        """Return for each image how far `logits`, shape (N, classes), lie from these, as a share of their range."""
        deviations: Floats = np.abs(logits - self.logits[: len(logits)]).max(1) / self.range
        return deviations
