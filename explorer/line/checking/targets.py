"""Targets of a data set, whatever their shape → as they are stored, or what is wrong with them in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.datasets import SPLITS, Splits, unusable
from explorer.line.task import LABELS, MASKS, VOID, kind_of

ALLOWED = (
    "labels must be whole numbers of shape (N,), the indices of the classes from 0, masks whole numbers of shape "
    "(N, height, width), and other targets floats of shape (N, numbers, …)"
)


def stored(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as int64, masks as they are, and floats as float32; one number an image comes as (N, 1)."""
    if labels.dtype.kind == "f":
        floats = labels.astype(np.float32)
        return floats[:, np.newaxis] if floats.ndim == 1 else floats
    if labels.ndim == 1:
        return labels.astype(np.int64)
    return labels.astype(np.uint8) if labels.dtype.kind == "b" else labels


def check(name: str, split: str, splits: Splits) -> None:
    """Refuse masks and floats of a `split` that no network can be trained on.

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
    if kind_of(ours) == MASKS:
        _check_masks(name, split, splits, ours)
    else:
        _check_numbers(name, split, splits, ours)


def channels(splits: Splits) -> int:
    """Return how many classes networks tell apart or, of floats, how many of them they answer."""
    labels = splits.train.labels
    return len(splits.classes) if kind_of(labels) in (LABELS, MASKS) else int(labels.shape[1])


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
            f"shape {numbers.shape}; {ALLOWED}, of which classes may name each"
        )


def _said(targets: NDArray[Any]) -> str:
    return f"targets of dtype {targets.dtype} and shape {targets.shape}"
