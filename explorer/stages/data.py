"""Data set's name and shares → images.npz: normalised training, validation and test images with their labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from explorer import plugins
from explorer.datasets import Images, Splits
from explorer.store import Artifact

VERSION = 1
WORKER = "torch"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Load and split the data set, and write it with each channel's mean 0 and standard deviation 1 on training images.

    Returns
    -------
    dict
        ``classes``, ``shape`` [C, H, W], the number of images per split, ``mean`` and ``std`` per channel in the data
        set's own units, and the ``digest`` of what was written.
    """
    name = parameters["dataset"]
    load = plugins.load_custom(name) if plugins.is_custom(name) else plugins.load("dataset", name).load
    splits: Splits = load(parameters["validation"], parameters["test"], parameters["seed"])
    mean = splits.train.pixels.mean((0, 2, 3), keepdims=True, dtype=np.float64)
    std = splits.train.pixels.std((0, 2, 3), keepdims=True, dtype=np.float64)

    def normalised(images: Images) -> Images:
        return Images(((images.pixels - mean) / std).astype(np.float32), images.labels)

    written = Splits(normalised(splits.train), normalised(splits.validation), normalised(splits.test))
    written.save(out / "images.npz")
    return {
        "classes": written.classes,
        "shape": list(written.shape),
        "train": len(written.train),
        "validation": len(written.validation),
        "test": len(written.test),
        "mean": mean.ravel().tolist(),
        "std": std.ravel().tolist(),
        "digest": written.digest,
    }
