"""Labels or other targets as a data set holds them → as they are stored, or what is wrong with them in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.datasets import SPLITS, Splits, unusable
from explorer.line.checking.labels import ALLOWED, are_one_hot, as_array, as_labels
from explorer.line.task import LABELS, MASKS, NUMBERS, VOID, kind_of


def as_targets(name: str, given: Mapping[str, object], classes: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the labels or other targets of data set `name`, split → array, as networks are trained on them.

    Labels come as int64, masks as whole numbers, and floats as float32; one number an image comes as (N, 1). Where
    there are names of classes, floats are labels if they can be nothing else: one-hot rows in every split, or one
    whole number for each image where there are several names.

    Raises
    ------
    StageFailed
        If it is not clear what they mean.
    """
    arrays = {split: as_array(name, split, labels) for split, labels in given.items()}
    kinds = {split: _kind(array, len(classes)) for split, array in arrays.items()}
    if NUMBERS in kinds.values():  # a small split may have one-hot rows by chance
        kinds |= {split: NUMBERS for split, array in arrays.items() if array.dtype.kind == "f"}
    return {
        split: as_labels(name, split, array, classes) if kinds[split] == LABELS else _stored(array)
        for split, array in arrays.items()
    }


def _kind(targets: NDArray[Any], classes: int) -> str:
    """Return what the user's targets, (N, …), are with so many names of classes."""
    if targets.dtype.kind == "f" and (targets.ndim == 1 or targets.shape[1:] == (1,)):
        return LABELS if classes > 1 else NUMBERS
    if targets.dtype.kind == "f":
        return LABELS if are_one_hot(targets, classes) else NUMBERS
    return MASKS if targets.dtype.kind in "bui" and targets.ndim > 2 else LABELS


def _stored(targets: NDArray[Any]) -> NDArray[Any]:
    if targets.dtype.kind == "f":
        floats = targets.astype(np.float32)
        return floats[:, np.newaxis] if floats.ndim == 1 else floats
    return targets.astype(np.uint8) if targets.dtype.kind == "b" else targets


def check(name: str, split: str, splits: Splits) -> None:
    """Refuse targets of a `split` that no network can be trained on.

    Raises
    ------
    StageFailed
        With a sentence that names data set and split.
    """
    ours, first = (getattr(splits, each).labels for each in (split, SPLITS[0]))
    if kind_of(ours) != kind_of(first) or ours.shape[1:] != first.shape[1:]:
        raise unusable(
            f"data set {name} has {_said(first)} for train images and {_said(ours)} for {split} images; all must have "
            "the same dtype and the same shape but for the number of images"
        )
    CHECKS[kind_of(ours)](name, split, splits, ours)


def channels(splits: Splits) -> int:
    """Return how many classes networks tell apart or, of floats, how many of them they answer."""
    labels = splits.train.labels
    return len(splits.classes) if kind_of(labels) in (LABELS, MASKS) else int(labels.shape[1])


def _check_labels(name: str, split: str, splits: Splits, labels: NDArray[Any]) -> None:
    """Refuse labels that lack a class, or name none."""
    classes = splits.classes
    if len(classes) == 1:
        raise unusable(f"data set {name} has one class, '{classes[0]}'; a classifier needs at least two")
    if len(labels) and labels.min() < 0:
        raise unusable(
            f"data set {name} has the {split} label {labels.min()}; labels are indices of the classes from 0"
        )
    if len(labels) and labels.max() >= len(classes):
        raise unusable(
            f"data set {name} names {len(classes)} classes and has the {split} label {labels.max()}; labels are "
            "indices of the classes from 0"
        )
    counts = np.bincount(labels, minlength=len(classes))
    for label in np.flatnonzero(counts == 0):
        raise unusable(f"data set {name} has no {split} image of class '{classes[label]}'")


def _check_masks(name: str, split: str, splits: Splits, masks: NDArray[Any]) -> None:
    """Refuse masks that are of another size than the images, or have a value that names no class."""
    classes = len(splits.classes)
    if masks.ndim != 3 or masks.shape[1:] != getattr(splits, split).shape[1:]:
        raise unusable(
            f"data set {name} has {split} labels of dtype {masks.dtype} and shape {masks.shape} for images of shape "
            f"{getattr(splits, split).shape}; {ALLOWED}"
        )
    if classes < 2:
        raise unusable(f"data set {name} names {classes} classes of its masks; a pixel needs at least two to choose of")
    known = masks[masks != VOID]
    if known.size and not 0 <= known.min() <= known.max() < classes:
        worst = known.min() if known.min() < 0 else known.max()
        raise unusable(
            f"data set {name} names {classes} classes and has {worst} in a {split} mask; masks hold indices of the "
            f"classes from 0, or {VOID} where the class is not known"
        )


def _check_numbers(name: str, split: str, splits: Splits, numbers: NDArray[Any]) -> None:
    """Refuse targets that are not finite, or not as many as they have names."""
    if not numbers.shape[1]:
        raise unusable(f"data set {name} has {_said(numbers)} for {split} images, which is no number for any of them")
    if not np.isfinite(numbers).all():
        raise unusable(f"data set {name} has {split} targets that are not finite: NaN or infinite")
    if splits.classes and len(splits.classes) != numbers.shape[1]:
        raise unusable(
            f"data set {name} names {len(splits.classes)} classes and has {split} labels of dtype {numbers.dtype} and "
            f"shape {numbers.shape}; {ALLOWED}; classes may name each label"
        )


CHECKS = {LABELS: _check_labels, MASKS: _check_masks, NUMBERS: _check_numbers}


def _said(targets: NDArray[Any]) -> str:
    return f"targets of dtype {targets.dtype} and shape {targets.shape}"
