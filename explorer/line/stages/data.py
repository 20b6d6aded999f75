"""Data set's name, settings and files → training, validation and test images with their labels, 8-bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from explorer.core import plugins
from explorer.datasets import SPLITS, Options, Splits, loader
from explorer.line import prepared
from explorer.line.checking.splits import checked
from explorer.line.contracts.data import Parameters, Parents, Values

VERSION = 4
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
    augment = plugins.literal("dataset", name, "AUGMENT", ("shift",)) if settings.augment is None else settings.augment
    written = prepared.save(splits, out)
    values: Values = {
        "classes": len(splits.classes),
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
    if splits.left_out:
        values["left_out"] = list(splits.left_out)
    if notes := [*_corrupt(name, splits), *_left_out(name, splits)]:
        values["note"] = "; ".join(notes)
    return values


def _left_out(name: str, splits: Splits) -> Iterator[str]:
    if splits.left_out:
        yield f"data set {name} does not use {'; '.join(splits.left_out)}"


def _corrupt(name: str, splits: Splits) -> Iterator[str]:
    if not splits.corrupt:
        return
    count, every = len(splits.corrupt), sum(len(getattr(splits, split)) for split in SPLITS) + len(splits.corrupt)
    more = ", …" if count > MOST_IN_NOTE else ""
    files = ", ".join(splits.corrupt[:MOST_IN_NOTE])
    are = "is no image that can be read and is" if count == 1 else "are no images that can be read and are"
    yield f"{count:,} of {every:,} files of data set {name} {are} left out: {files}{more}"
