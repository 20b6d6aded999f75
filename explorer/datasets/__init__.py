"""Options → labelled 8-bit images in three disjoint splits: the types of every data set, and the way from one set.

A data set is one file, a `Dataset`, with literals that are read without importing it:

- ``FOLDERS`` and ``FILES``, or ``IMAGES`` where it has folders of classes: where its files lie, see
  `explorer.inputs.dataset_files`; a data set without them needs none;
- ``DOWNLOADS = True``: it has a function ``download(folder: str)`` that fetches its files;
- ``CHECKS = True``: it has a function ``check(root: str)`` that returns before anything is computed, and without
  reading every file, what is wrong with the files, in one sentence, or None;
- ``SCALES = True``: it brings images of any size to ``[data] image_size``, and so takes the crop that weights ask for;
- ``AUGMENT``: how training images are varied, names from `explorer.line.training.augmentation`; ``("shift",)`` unless
  it says;
- ``LOOKS``: how many classes there are and the shape of an image, where these are always the same: models of the user's
  own are tried with them before the first trial.

Of a data set of the user's own, written ``module:function``, no literals are read; see `explorer.inputs.own_reads` for
the files that count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from explorer.core import plugins
from explorer.core.errors import Failure, StageFailed

SPLITS = ("train", "validation", "test")
CHUNK = 256  # images that are looked at in one go

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]


class Options(NamedTuple):
    """Options that a data set is loaded with: the fields of ``[data]``, and where its files were found.

    Parameters
    ----------
    validation
        Share of the training images that the search's accuracy is taken on, where the data set has no such split.
    test
        Share of all images that is held back, where the data set has no test split.
    seed
        Of the splits.
    image_size
        Side in pixels that images of any size are brought to.
    root
        The folder that the data set's files lie in.
    resize, crop, interpolation
        How images of any size are scaled and cut; see `explorer.datasets._geometry`. None if nothing is said of it.
    """

    validation: float = 0.2
    test: float = 0.25
    seed: int = 0
    image_size: int = 224
    root: Path = Path()
    resize: int | None = None
    crop: float | None = None
    interpolation: str | None = None


class Images(Protocol):
    """Labelled images that need not be in memory."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices from 0, int64, shape (N,)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""

    def __len__(self) -> int: ...

    def pixels(self, indices: Indices) -> Pixels:
        """Return the images at `indices`, uint8, shape (n, C, H, W)."""

    def sums(self) -> NDArray[np.float64]:
        """Return the sums of the pixels and of their squares by channel, shape (2, C)."""

    def part(self, indices: Indices) -> Images:
        """Return the images at `indices` as a set of their own."""


@dataclass(frozen=True)
class Held:
    """Images in one array, in memory or mapped from a file; lists and tensors become arrays.

    Parameters
    ----------
    array
        uint8, shape (N, C, H, W). A data set of the user's own may hand over others, see
        `explorer.line.checking.pixels`, which the data stage brings to that.
    labels
        int64, shape (N,); see `explorer.line.checking.labels` for others.

    Raises
    ------
    StageFailed
        If lists are of unequal length.
    """

    array: Pixels
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("array", "labels"):
            if not isinstance(given := getattr(self, name), np.ndarray):  # a mapped file stays one
                object.__setattr__(self, name, _as_array(name, given))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        _, channels, height, width = self.array.shape
        return channels, height, width

    def pixels(self, indices: Indices) -> Pixels:
        """Return the images at `indices`, uint8, shape (n, C, H, W)."""
        return self.array[indices]

    def sums(self) -> NDArray[np.float64]:
        """Return the sums of the pixels and of their squares by channel, shape (2, C)."""
        chunks = (self.array[start : start + CHUNK] for start in range(0, len(self), CHUNK))
        return np.sum([channel_sums(chunk).sum(0) for chunk in chunks], axis=0)  # type: ignore[no-any-return]

    def part(self, indices: Indices) -> Held:
        """Return the images at `indices` as a set of their own."""
        return Held(self.array[indices], self.labels[indices])


def _as_array(name: str, given: object) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError as error:
        what = "images" if name == "array" else name
        raise unusable(f"{what} of different shapes cannot be one array: {error}") from error


def channel_sums(pixels: Pixels) -> NDArray[np.float64]:
    """Return the sums of the pixels and of their squares by image and channel, shape (n, 2, C); both are exact."""
    wide = pixels.astype(np.int64)
    return np.stack([wide.sum((2, 3)), (wide * wide).sum((2, 3))], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Splits:
    """Images to train on, to take the search's accuracy on, and to report the front's accuracy on.

    Parameters
    ----------
    classes
        The names of the classes, by index.
    corrupt
        Files that could not be read and were left out, relative to the data set's root.
    left_out
        What else lies there and is not used, for a note: each kind with its number.
    """

    train: Images
    validation: Images
    test: Images
    classes: tuple[str, ...]
    corrupt: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Load(Protocol):
    """Loads a data set."""

    def __call__(self, options: Options) -> Splits:
        """Return the images.

        Raises
        ------
        StageFailed
            If the files are not as the data set needs them.
        """


class Dataset(Protocol):
    """A module of this folder."""

    load: Load


def loader(name: str) -> Load:
    """Return the function that loads data set `name`, one of this folder or ``module:function``.

    Raises
    ------
    ExplorerError
        If there is none.
    """
    if plugins.is_custom(name):
        return cast(Load, plugins.load_custom(name))
    return cast(Dataset, plugins.load("dataset", name)).load


def unusable(message: str) -> StageFailed:
    """Return `message`, one sentence on what is wrong with a data set's files, as the failure of the data stage."""
    return StageFailed(Failure("data", "unusable", message))


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
    StageFailed
        If a class has fewer than two images, a part fewer images than there are classes, or an image no label.
    """
    if isinstance(images, Held) and len(images.array) != len(images.labels):
        count = len(images.array)
        raise unusable(f"there are {count:,} images and {len(images.labels):,} labels; each image needs one")
    from sklearn.model_selection import train_test_split  # 1 s, and only the data stage splits

    try:
        rest, held = train_test_split(
            np.arange(len(images)), test_size=share, stratify=images.labels, random_state=seed, shuffle=True
        )
    except ValueError as error:
        raise unusable(f"{len(images)} images cannot be split by class, {share:g} held back: {error}") from error
    return images.part(rest), images.part(held)
