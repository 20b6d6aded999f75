"""Data set's name, settings and files → training, validation and test images with their labels, 8-bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.datasets import SPLITS, Options, Splits, unusable
from explorer.line import prepared

VERSION = 3
WORKER = "torch"

MOST_NAMED = 100  # corrupt files that the values name; their number counts all
MOST_IN_NOTE = 5


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Load and split the data set, and write its splits.

    Parameters
    ----------
    parents
        ``source``: the folder that the data set's files lie in, its key their digest.

    Returns
    -------
    dict
        ``classes`` and their ``class_names``, ``shape`` [C, H, W], the number of images per split, ``mean`` and ``std``
        per channel of the training pixels in [0, 1], ``augment``, the ``digest`` of what was written, and of files
        that are no images and were left out the number, ``corrupt``, the names, ``corrupt_names``, and a ``note`` that
        tells the user of them.

    Raises
    ------
    StageFailed
        If the data set's files are not as it needs them.
    """
    name = parameters["dataset"]
    load = plugins.load_custom(name) if plugins.is_custom(name) else plugins.load("dataset", name).load
    chosen = {field: parameters[field] for field in Options._fields if field in parameters}
    splits: Splits = load(Options(**chosen, root=parents["source"].path))
    _check(name, splits)
    return {
        "classes": len(splits.classes),
        "class_names": list(splits.classes),
        "shape": list(splits.train.shape),
        **{split: len(getattr(splits, split)) for split in SPLITS},
        "augment": list(plugins.literal("dataset", name, "AUGMENT", ("shift",))),
        "corrupt": len(splits.corrupt),
        "corrupt_names": list(splits.corrupt[:MOST_NAMED]),
        **({"note": _note(name, splits)} if splits.corrupt else {}),
        **prepared.save(splits, out),
    }


def _note(name: str, splits: Splits) -> str:
    count, every = len(splits.corrupt), sum(len(getattr(splits, split)) for split in SPLITS) + len(splits.corrupt)
    more = ", …" if count > MOST_IN_NOTE else ""
    files = ", ".join(splits.corrupt[:MOST_IN_NOTE])
    are = "is no image that can be read and is" if count == 1 else "are no images that can be read and are"
    return f"{count:,} of {every:,} files of data set {name} {are} left out: {files}{more}"


def _check(name: str, splits: Splits) -> None:
    """Refuse splits that lack a class, or whose labels name none."""
    for split in SPLITS:
        labels = getattr(splits, split).labels
        counts = np.bincount(labels, minlength=len(splits.classes))
        if len(counts) > len(splits.classes):
            raise unusable(
                f"data set {name} names {len(splits.classes)} classes and has {split} images of {len(counts)}"
            )
        for label in np.flatnonzero(counts == 0):
            raise unusable(f"data set {name} has no {split} image of class '{splits.classes[label]}'")
