"""Labels and a number of images → which images to take, of every class about the same share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explorer.core.settings import AnswerSettings


def draw(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return which of the labelled images to take, ascending: `count`, of every class about the same share, or all.

    Parameters
    ----------
    count
        0 means all, and so does any number that there are not.
    """
    if not 0 < count < len(labels):
        return np.arange(len(labels))
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    ranks = np.empty(len(labels))  # of each image within its class, from 0 to 1
    for label in np.unique(labels):
        own = order[labels[order] == label]
        ranks[own] = (np.arange(len(own)) + random.random()) / len(own)
    return np.sort(np.argsort(ranks, kind="stable")[:count])


def answered(labels: NDArray[np.int64], settings: AnswerSettings | None) -> NDArray[np.int64]:
    """Return which of the labelled images torch answers: all of them without settings."""
    if settings is None:
        return np.arange(len(labels))
    return draw(labels, settings.answered_images, settings.answered_seed)
