"""Data set's name, settings and files → training, validation and test images, 8-bit, with their labels or targets."""

from __future__ import annotations

from pathlib import Path

from explorer.core import plugins
from explorer.datasets import SPLITS, Options, Splits, loader, unusable
from explorer.line import prepared
from explorer.line.checking import targets
from explorer.line.checking.splits import checked
from explorer.line.contracts.data import Parameters, Parents, Values
from explorer.line.task import LABELS, kind_of

VERSION = 3
WORKER = "torch"

MOST_NAMED = 100  # corrupt files that the values name; their number counts all
MOST_IN_NOTE = 5


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Load and split the data set, and write its splits.

    Raises
    ------
    StageFailed
        If the data set's files are not as it needs them.
    """
    name, settings = parameters.dataset, parameters.settings
    options = Options(settings.validation, settings.test, settings.seed, settings.image_size, parents.source.path)
    splits = checked(name, loader(name)(options))
    augment = _augment(name, settings.augment, splits)
    written = prepared.save(splits, out)
    values: Values = {
        "classes": targets.channels(splits),
        "class_names": list(splits.classes),
        "shape": list(splits.train.shape),
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": len(splits.test),
        "augment": list(augment),
        "corrupt": len(splits.corrupt),
        "corrupt_names": list(splits.corrupt[:MOST_NAMED]),
        "mean": written["mean"],
        "std": written["std"],
        "digest": written["digest"],
    }
    labels = splits.train.labels
    if (kind := kind_of(labels)) != LABELS:
        values |= {"task": kind, "target_shape": list(labels.shape[1:])}
    if splits.corrupt:
        values["note"] = _note(name, splits)
    return values


def _augment(name: str, asked: tuple[str, ...] | None, splits: Splits) -> tuple[str, ...]:
    """Return how training images are varied: as asked or, where nothing is, as the data set says.

    Nothing that moves an image moves its target with it: so images are varied unasked where they have labels alone.
    """
    labels = splits.train.labels
    if asked and labels.ndim > 2:
        raise unusable(
            f"[data] augment = {list(asked)} moves images and not their targets, which data set {name} has of shape "
            f"{labels.shape}; leave it out, or vary the images in the data set's function"
        )
    if asked is not None or kind_of(labels) != LABELS:
        return asked or ()
    return tuple(plugins.literal("dataset", name, "AUGMENT", ("shift",)))


def _note(name: str, splits: Splits) -> str:
    count, every = len(splits.corrupt), sum(len(getattr(splits, split)) for split in SPLITS) + len(splits.corrupt)
    more = ", …" if count > MOST_IN_NOTE else ""
    files = ", ".join(splits.corrupt[:MOST_IN_NOTE])
    are = "is no image that can be read and is" if count == 1 else "are no images that can be read and are"
    return f"{count:,} of {every:,} files of data set {name} {are} left out: {files}{more}"
