"""Data set's name, settings and files → training, validation and test images with their labels, 8-bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from explorer.core import plugins
from explorer.core.settings import DataSettings
from explorer.datasets import SPLITS, Images, Options, Splits, loader
from explorer.datasets._files import Files
from explorer.datasets._geometry import reshaped
from explorer.datasets._normalisation import normalisation
from explorer.line import prepared
from explorer.line.checking.splits import checked
from explorer.line.contracts.data import Parameters, Parents, Values, Wanted

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
    name, settings, wanted = parameters.dataset, parameters.settings, _wanted(parents)
    options = _options(settings, wanted, parents.source.path)
    splits = _reshaped(checked(name, loader(name)(options)), options)
    augment = plugins.literal("dataset", name, "AUGMENT", ("shift",)) if settings.augment is None else settings.augment
    written = prepared.save(splits, out)
    asked = (wanted["mean"], wanted["std"]) if "mean" in wanted else None
    mean, std = normalisation(settings, asked, (written["mean"], written["std"]))
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
        "mean": mean,
        "std": std,
        "digest": written["digest"],
    }
    if splits.left_out:
        values["left_out"] = list(splits.left_out)
    if notes := [*_corrupt(name, splits), *_left_out(name, splits)]:
        values["note"] = "; ".join(notes)
    return values


def _wanted(parents: Parents) -> Wanted:
    return parents.wanted.values if parents.wanted else {}


def _options(settings: DataSettings, wanted: Wanted, root: Path) -> Options:
    """Return what the data set is loaded with; initial weights ask for what ``[data]`` leaves open."""
    return Options(
        settings.validation,
        settings.test,
        settings.seed,
        wanted.get("image_size", settings.image_size),
        root,
        settings.resize,
        wanted.get("crop", settings.crop),
        wanted.get("interpolation", settings.interpolation),
    )


def _reshaped(splits: Splits, options: Options) -> Splits:
    """Return the splits with images in memory scaled and cut as the options say; those in files are when decoded."""

    def shaped(images: Images) -> Images:
        return images if isinstance(images, Files) else reshaped(images, options)

    train, validation, test = (shaped(getattr(splits, split)) for split in SPLITS)
    return replace(splits, train=train, validation=validation, test=test)


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
