"""Labels as data sets of the users' own hold them → indices of classes, int64, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import StageFailed, did_you_mean
from explorer.datasets import Indices, unusable

ALLOWED = (
    "labels must be the indices of the classes from 0, their names, or one-hot rows, one for each image; masks must be "
    "whole numbers of shape (N, height, width), and other targets floats of shape (N, numbers, …)"
)


def as_array(name: str, split: str, given: object) -> NDArray[Any]:
    """Return labels, or other targets, of a split of data set `name` as an array.

    Raises
    ------
    StageFailed
        If they are lists of unequal length.
    """
    try:
        array = np.asarray(given)
        return np.array(array.tolist()) if array.dtype == object else array
    except ValueError:
        raise _refused(name, split, "of different shapes") from None


def as_labels(name: str, split: str, labels: NDArray[Any], classes: Sequence[str]) -> Indices:
    """Return the labels of a split of data set `name` as indices of `classes`, which they may exceed.

    Raises
    ------
    StageFailed
        If it is not clear which classes they mean.
    """
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
    return labels.argmax(1) if are_one_hot(labels, classes) else labels


def are_one_hot(labels: NDArray[Any], classes: int) -> bool:
    """Tell whether each row has one 1, at the place of one of so many classes, and zeros beside it."""
    if labels.ndim != 2 or labels.shape[1] != classes or labels.dtype.kind not in "buif":
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all())


def _indices(name: str, split: str, labels: NDArray[Any], classes: Sequence[str]) -> Indices:
    """Return the indices of classes that are given by name."""
    names, inverse = np.unique(np.char.decode(labels) if labels.dtype.kind == "S" else labels, return_inverse=True)
    for each in names.tolist():
        if each not in classes:
            raise unusable(f"data set {name} has the {split} label '{each}'{did_you_mean(each, classes)}")
    indices: Indices = np.array([classes.index(each) for each in names.tolist()], np.int64)[inverse]
    return indices


def _refused(name: str, split: str, what: str) -> StageFailed:
    return unusable(f"data set {name} has {split} labels {what}; {ALLOWED}")
