"""What the function of a data set returns → its splits, or what is wrong with them in one sentence; see ``targets``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import StageFailed
from explorer.datasets import SPLITS, Held, Images, Splits, unusable
from explorer.line.checking import targets
from explorer.line.task import LABELS, kind_of

PIXELS = "images must be pixels from 0 to 255 of dtype uint8 and shape (N, channels, height, width)"
COLOURS = (1, 3, 4)  # channels of grey images, and of colour ones without and with alpha


def checked(name: str, returned: object) -> Splits:
    """Return the splits that data set `name` returned, with labels of int64 and floats of float32.

    Raises
    ------
    StageFailed
        If no network can be trained on them.
    """
    if not isinstance(returned, Splits):
        raise unusable(f"data set {name} returns a {type(returned).__name__}; it must return explorer.datasets.Splits")
    train, validation, test = (_checked(name, split, getattr(returned, split)) for split in SPLITS)
    splits = Splits(train, validation, test, returned.classes, returned.corrupt)
    kind = kind_of(train.labels)
    if kind == LABELS and len(returned.classes) == 1:
        raise unusable(f"data set {name} has one class, '{returned.classes[0]}'; a classifier needs at least two")
    for split in SPLITS:
        shape = getattr(splits, split).shape
        if shape != train.shape:
            raise unusable(
                f"data set {name} has train images of shape {train.shape} and {split} images of shape {shape}; all "
                "must have the same"
            )
        if kind == LABELS and getattr(splits, split).labels.ndim == 1:
            _check_classes(name, split, splits)
        else:
            targets.check(name, split, splits)
    return splits


def _checked(name: str, split: str, images: Images) -> Images:
    """Return images with labels of int64, or raise if they are none."""

    def wrong(what: str) -> StageFailed:
        return unusable(f"data set {name} has {split} {what}")

    if not isinstance(images, Held):  # images of a type of its own, which the data stage reads as they say
        return images
    array, labels = np.asarray(images.array), np.asarray(images.labels)
    if array.dtype != np.uint8:
        raise wrong(f"images of dtype {array.dtype}; {PIXELS}")
    if array.ndim != 4:
        raise wrong(f"images of shape {array.shape}; {PIXELS}")
    if array.shape[3] in COLOURS and array.shape[1] not in COLOURS:
        raise wrong(f"images of shape {array.shape}, whose channels seem to be last; {PIXELS}")
    if labels.ndim == 0 or labels.dtype.kind not in "biuf":
        raise wrong(f"labels of dtype {labels.dtype} and shape {labels.shape}; {targets.ALLOWED}")
    if len(labels) != len(array):
        raise wrong(f"{len(array):,} images and {len(labels):,} labels; each image needs one")
    return Held(array, targets.stored(labels))


def _check_classes(name: str, split: str, splits: Splits) -> None:
    """Raise if a split lacks a class, or has a label that names none."""
    labels: NDArray[Any] = getattr(splits, split).labels
    classes = splits.classes
    if len(labels) and labels.min() < 0:
        raise unusable(
            f"data set {name} has the {split} label {labels.min()}; labels are indices of the classes from 0"
        )
    counts = np.bincount(labels, minlength=len(classes))
    if len(counts) > len(classes):
        raise unusable(f"data set {name} names {len(classes)} classes and has {split} images of {len(counts)}")
    for label in np.flatnonzero(counts == 0):
        raise unusable(f"data set {name} has no {split} image of class '{classes[label]}'")
