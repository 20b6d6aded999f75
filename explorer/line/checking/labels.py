"""Labels as data sets of the users' own hold them → indices of classes, int64, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import StageFailed, did_you_mean
from explorer.datasets import Indices, unusable

LABELS = "labels must be the indices of the classes from 0, their names, or one-hot rows, one for each image"


def as_labels(name: str, split: str, given: object, classes: Sequence[str]) -> Indices:
    """Return the labels of a split of data set `name` as indices of `classes`, which they may exceed.

    Raises
    ------
    StageFailed
        If it is not clear which classes they mean.
    """
    try:
        labels = np.asarray(given)
        labels = np.array(labels.tolist()) if labels.dtype == object else labels
    except ValueError:  # lists of unequal length
        raise _refused(name, split, "of different shapes") from None
    if labels.ndim == 2:
        labels = _flat(labels, len(classes))
    if labels.ndim == 1 and labels.dtype.kind in "US":
        return _indices(name, split, labels, classes)
    is_whole = labels.dtype.kind in "bui" or (labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)))
    if labels.ndim != 1 or not is_whole:
        raise _refused(name, split, f"of dtype {labels.dtype} and shape {labels.shape}")
    return labels.astype(np.int64)


def _flat(labels: NDArray[Any], classes: int) -> NDArray[Any]:
    """Return a column, or one-hot rows, as one axis; other labels as they are."""
    if labels.shape[1] == 1:
        return labels[:, 0]
    if labels.shape[1] != classes or labels.dtype.kind not in "buif":
        return labels
    is_one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()
    return labels.argmax(1) if is_one_hot else labels


def _indices(name: str, split: str, labels: NDArray[Any], classes: Sequence[str]) -> Indices:
    """Return the indices of classes that are given by name."""
    names, inverse = np.unique(np.char.decode(labels) if labels.dtype.kind == "S" else labels, return_inverse=True)
    for each in names.tolist():
        if each not in classes:
            raise unusable(f"data set {name} has the {split} label '{each}'{did_you_mean(each, classes)}")
    indices: Indices = np.array([classes.index(each) for each in names.tolist()], np.int64)[inverse]
    return indices


def _refused(name: str, split: str, what: str) -> StageFailed:
    return unusable(f"data set {name} has {split} labels {what}; {LABELS}")
