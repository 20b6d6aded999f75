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
SAMPLED = 64  # values of an image's output that are kept where it is more than the classes' logits


class Reference(NamedTuple):
    """The outputs that every compiled form of a network has to compute, up to rounding.

    Parameters
    ----------
    images
        As networks take them, shape (N, C, H, W).
    logits
        The network's outputs for them, shape (N, classes) or, of another task than classes, (N, …).
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
        return float(np.abs(self.logits).max()) or 1.0  # of a network that answers 0 alone, as they are

    def deviations(self, logits: Floats) -> Floats:
        """Return for each image how far `logits`, shape (N, …), lie from these, as a share of their range."""
        apart = np.abs(logits - self.logits[: len(logits)])
        deviations: Floats = apart.reshape(len(apart), -1).max(1) / self.range
        return deviations


def predictions_file(split: str) -> str:
    """Return the name of the file with all outputs for the images of a split, which the user's metric reads."""
    return f"{split}_predictions.npy"


def sampled(outputs: Floats) -> Floats:
    """Return at most `SAMPLED` values of each image's output, (N, …), at places evenly spread over it; shape (N, n)."""
    flat = outputs.reshape(len(outputs), -1)
    places = np.linspace(0, flat.shape[1] - 1, min(SAMPLED, flat.shape[1])).round().astype(np.int64)
    return flat[:, places]
