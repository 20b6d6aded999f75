"""What every data set hands over: labelled images in three disjoint splits, and the way there from one labelled set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Images:
    """Images with their labels.

    Parameters
    ----------
    pixels
        float32, shape (N, C, H, W).
    labels
        int64, shape (N,), class indices from 0.
    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """Images to train on, to take the search's accuracy on, and to report the front's accuracy on."""

    train: Images
    validation: Images
    test: Images

    @property
    def classes(self) -> int:
        """Number of classes, the same in every split."""
        return int(max(getattr(self, split).labels.max() for split in SPLITS)) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        _, channels, height, width = self.train.pixels.shape
        return channels, height, width

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over pixels and labels of all splits."""
        sha = hashlib.sha256()
        for split in SPLITS:
            images: Images = getattr(self, split)
            sha.update(np.ascontiguousarray(images.pixels).tobytes())
            sha.update(np.ascontiguousarray(images.labels).tobytes())
        return sha.hexdigest()

    def save(self, path: Path) -> None:
        """Write all splits to one uncompressed .npz file."""
        arrays: dict[str, NDArray[Any]] = {}
        for split in SPLITS:
            images: Images = getattr(self, split)
            arrays |= {f"{split}_pixels": images.pixels, f"{split}_labels": images.labels}
        np.savez(path, **arrays)  # type: ignore[arg-type]  # its stub takes names for allow_pickle

    @staticmethod
    def load(path: Path) -> Splits:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return Splits(*(Images(arrays[f"{split}_pixels"], arrays[f"{split}_labels"]) for split in SPLITS))


def stratified(images: Images, share: float, seed: int) -> tuple[Images, Images]:
    """Split `images` so that every class has about the same share in both parts.

    Parameters
    ----------
    share
        Part of the images that goes into the second result, in (0, 1).
    seed
        Of the shuffle; equal seeds give equal splits.

    Returns
    -------
    tuple of Images
        The larger rest and the held-back `share`, both shuffled.

    Raises
    ------
    ValueError
        If a class has fewer than two images, or a part fewer images than there are classes.
    """
    from sklearn.model_selection import train_test_split  # 1 s, and only the data stage splits

    rest, held = train_test_split(
        np.arange(len(images)), test_size=share, stratify=images.labels, random_state=seed, shuffle=True
    )
    return tuple(Images(images.pixels[part], images.labels[part]) for part in (rest, held))  # type: ignore[return-value]
