"""Network that takes a fixed number of images at once, and any number of images → its outputs, image by image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def in_batches(network: Callable[[Array], Array], images: Array, batch: int) -> Array:
    """Return what `network` makes of `images`, (N, C, H, W); the first dimension is that of the images.

    Parameters
    ----------
    network
        Takes `batch` images and gives its output, whose first dimension holds them one after the other.
    """
    outputs = []
    for first in range(0, len(images), batch):
        own = images[first : first + batch]
        output = network(filled(own, batch))
        outputs.append(output[: len(output) * len(own) // batch])
    return np.concatenate(outputs)


def filled(images: Array, batch: int) -> Array:
    """Return the first `batch` of `images` or, where there are fewer, all of them again and again."""
    return np.resize(images, (batch, *images.shape[1:]))
