"""Splits → a data stage's files → the images as networks take them, normalised when they are asked for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.core.artifact import Artifact
from explorer.datasets import SPLITS, Held, Images, Indices, Pixels, Splits
from explorer.datasets._files import Files
from explorer.datasets._geometry import Geometry
from explorer.line.contracts.data import Values, Written

WHITE = 255.0
FLAT = 1e-6  # a channel with less contrast is centred and not scaled


@dataclass(frozen=True)
class Inputs:
    """Images that come with each channel's mean 0 and standard deviation 1 on the training images.

    Parameters
    ----------
    mean, std
        Per channel, of pixels in [0, 1].
    augment
        How the images are varied where a network is trained on them: names from `explorer.line.training.augmentation`.
    """

    images: Images
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    augment: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices from 0, int64, shape (N,)."""
        return self.images.labels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.images.shape

    def pixels(self, indices: Indices) -> Pixels:
        """Return the images at `indices` as they are, uint8, shape (n, C, H, W)."""
        return self.images.pixels(indices)

    @property
    def scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The images' own `scale_of`."""
        return scale_of(self.mean, self.std)

    def normalised(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return uint8 `pixels`, (n, C, H, W), as the float32 that networks take."""
        factor, offset = self.scale
        images: NDArray[np.float32] = pixels * factor
        images -= offset
        return images

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """Return a range of the images as networks take them, float32, shape (n, C, H, W)."""
        return self.normalised(self.pixels(np.arange(len(self))[part]))


@dataclass(frozen=True)
class Prepared:
    """The splits of a data stage, ready for networks."""

    train: Inputs
    validation: Inputs
    test: Inputs

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return self.train.shape

    @staticmethod
    def load(data: Artifact[Values]) -> Prepared:
        """Open the splits of a data stage's artifact; no image is read before it is asked for."""
        values = data.values
        mean, std = np.array(values["mean"]), np.array(values["std"])
        train, *others = (_open(data, split) for split in SPLITS)
        return Prepared(
            Inputs(train, mean, std, tuple(values["augment"])), *(Inputs(images, mean, std) for images in others)
        )


def scale_of(mean: NDArray[np.float64], std: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factor of 8-bit pixels, and the offset that is subtracted afterwards; float32, shape (C, 1, 1) each.

    Parameters
    ----------
    mean, std
        Per channel, of pixels in [0, 1].
    """
    scale = (1 / np.where(std > FLAT, std, 1.0))[:, np.newaxis, np.newaxis]
    return (scale / WHITE).astype(np.float32), (mean[:, np.newaxis, np.newaxis] * scale).astype(np.float32)


def save(splits: Splits, out: Path) -> Written:
    """Write every split and return what is known of them from then on.

    Images in arrays go to ``<split>.npy``, uint8; of images in files, ``<split>.json`` lists the names, relative to the
    data set's root. ``<split>_labels.npy`` has the labels.
    """
    sha = hashlib.sha256()
    for split in SPLITS:
        images: Images = getattr(splits, split)
        sha.update(np.ascontiguousarray(images.labels).tobytes())
        np.save(out / f"{split}_labels.npy", images.labels)
        if isinstance(images, Files):
            shaped = {"geometry": asdict(images.geometry)} if images.geometry else {}
            text = json.dumps({"names": images.names, "size": images.size, **shaped})
            (out / f"{split}.json").write_text(text)
            sha.update(text.encode())
        else:
            array = images.pixels(np.arange(len(images)))
            np.save(out / f"{split}.npy", array)
            sha.update(np.ascontiguousarray(array).tobytes())
    _, height, width = splits.train.shape
    first, second = splits.train.sums() / (len(splits.train) * height * width)
    return {
        "mean": (first / WHITE).tolist(),
        "std": (np.sqrt(np.maximum(second - first * first, 0)) / WHITE).tolist(),
        "digest": sha.hexdigest(),
    }


def _open(data: Artifact[Values], split: str) -> Images:
    labels = np.load(data.path / f"{split}_labels.npy")
    listed = data.path / f"{split}.json"
    if not listed.exists():
        return Held(np.load(data.path / f"{split}.npy", mmap_mode="r"), labels)
    index = json.loads(listed.read_text())
    geometry = Geometry(**index["geometry"]) if "geometry" in index else None
    return Files(Path(data.values["root"]), tuple(index["names"]), labels, index["size"], geometry=geometry)
