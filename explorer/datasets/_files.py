"""A folder of class folders of image files → images that are decoded whenever they are asked for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlas_ops.processor.usable_cores import core_count, wanted_threads
from explorer.core.errors import StageFailed
from explorer.datasets import Held, Indices, Pixels, channel_sums, unusable
from explorer.datasets._colours import coloured
from explorer.datasets._folders import SUFFIXES, Survey, shown, survey
from explorer.datasets._geometry import Geometry

CHANNELS = 3
BATCH = 64  # images of one decoding pass that are in memory at once
# Pixels of an image that is read: maps and scans have more than Pillow takes by default, which refuses twice its limit.
LARGEST = 1 << 28
Image.MAX_IMAGE_PIXELS = LARGEST // 2


@dataclass(frozen=True)
class Files:
    """Colour images in files; none is kept once it was handed out.

    Parameters
    ----------
    root
        The folder that `names` are relative to.
    names
        One per image.
    labels
        int64, shape (N,).
    size
        Side in pixels of the square that is cut from each image's middle, after its shorter side was scaled to it.
    image_sums
        What `channel_sums` gave for each image when it was first decoded, shape (N, 2, 3); None if that is not known.
    geometry
        How images are brought to `size` instead, if ``[data]`` says so.
    """

    root: Path
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    size: int
    image_sums: NDArray[np.float64] | None = None
    geometry: Geometry | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        return CHANNELS, self.size, self.size

    def pixels(self, indices: Indices) -> Pixels:
        """Return the images at `indices`, uint8, shape (n, 3, size, size).

        Raises
        ------
        StageFailed
            If a file is gone or damaged.
        """
        paths = [self.root / self.names[index] for index in indices]
        found = list(_decoders().map(partial(decoded, size=self.size, geometry=self.geometry), paths))
        for path, image in zip(paths, found, strict=True):
            if image is None:
                raise unusable(f"{path} was an image when the data set was read and is none now")
        return np.stack([image for image in found if image is not None])

    def sums(self) -> NDArray[np.float64]:
        """Return the sums of the pixels and of their squares by channel, shape (2, 3)."""
        assert self.image_sums is not None, "only the data stage asks, which read the images"
        return self.image_sums.sum(0)  # type: ignore[no-any-return]

    def part(self, indices: Indices) -> Files:
        """Return the images at `indices` as a set of their own."""
        names = tuple(self.names[index] for index in indices)
        sums = None if self.image_sums is None else self.image_sums[indices]
        return Files(self.root, names, self.labels[indices], self.size, sums, self.geometry)


def classes_of(found: Survey, splits: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes, sorted: those of the training split, which all `splits` have.

    Parameters
    ----------
    splits
        The training split first.

    Raises
    ------
    StageFailed
        If a split has two folders or other classes than the first, a class has no image, or there is one class.
    """
    for folders in found.folders.values():
        if len(folders) > 1:
            raise unusable(f"{found.root} has the folders {' and '.join(folders)} for one split; only one can be used")
    reference = found.place(splits[0])
    classes = sorted(found.images.get(splits[0], {}))
    if not classes:
        raise unusable(f"{reference} has no folders of classes; images are expected at {reference}/CLASS/NAME.jpg")
    for split in splits:
        _same_classes(found, split, classes, reference)
    for split, name in ((split, name) for split in splits for name in classes):
        if not found.images[split][name]:
            place = found.place(split) / name
            raise unusable(f"{place} holds no image; expected files that end in {', '.join(SUFFIXES)}")
    if len(classes) == 1:
        raise unusable(f"{reference} has one class, '{classes[0]}'; a classifier needs at least two")
    return tuple(classes)


def _same_classes(found: Survey, split: str, classes: Sequence[str], reference: Path) -> None:
    own = found.images.get(split, {})
    for name in classes:
        if name not in own:
            raise unusable(f"{found.place(split)} has no folder for class '{name}', which {reference} has")
    for name in own:
        if name not in classes:
            raise unusable(f"{found.place(split)} has a folder for class '{name}', which {reference} has not")


def fault(root: Path, splits: Sequence[str], optional: Sequence[str] = ()) -> str | None:
    """Return what is wrong with the folders of `splits` in one sentence, None if nothing is.

    Parameters
    ----------
    optional
        More splits; where a folder lacks them, their images are held back from the first split's.
    """
    found = survey(root, (*splits, *optional))
    lacking = [split for split in optional if split not in found.folders]
    try:
        classes = classes_of(found, (*splits, *(split for split in optional if split not in lacking)))
    except StageFailed as failed:
        return str(failed)
    for name in classes:
        count, needed = len(found.images[splits[0]][name]), 1 + len(lacking)
        if count < needed:
            return (
                f"{found.place(splits[0])} has {count} image{'s' * (count != 1)} of class '{name}'; it must have "
                f"at least {needed}, since {' and '.join(lacking)} images are held back of them"
            )
    return None


def read(
    found: Survey, split: str, classes: Sequence[str], size: int, geometry: Geometry | None = None
) -> tuple[Files, tuple[str, ...]]:
    """Return the images of a split, every one decoded once, and the names of those that are corrupt.

    Raises
    ------
    StageFailed
        If none of a class can be read.
    """
    root, (names, labels) = found.root, _listed(found, split, classes)
    every = _every(root, names, size, geometry)
    sums = [None if image is None else channel_sums(image[np.newaxis])[0] for image in every]
    kept = _kept(found.place(split), classes, labels, [each is not None for each in sums])
    files = Files(root, tuple(names[i] for i in kept), labels[kept], size, np.array([sums[i] for i in kept]), geometry)
    return files, _others(root, names, kept)


def read_into_memory(found: Survey, split: str, classes: Sequence[str], size: int) -> tuple[Held, tuple[str, ...]]:
    """Return the same as `read`, with the images in an array."""
    names, labels = _listed(found, split, classes)
    array = np.empty((len(names), CHANNELS, size, size), np.uint8)
    readable = np.zeros(len(names), bool)
    for index, image in enumerate(_every(found.root, names, size)):
        if image is not None:
            array[index], readable[index] = image, True
    kept = _kept(found.place(split), classes, labels, readable)
    return Held(array[kept], labels[kept]), _others(found.root, names, kept)


def _listed(found: Survey, split: str, classes: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the image files of a split, relative to the root, and their labels."""
    files = [found.images[split][name] for name in classes]
    names = [file for own in files for file in own]
    return names, np.repeat(np.arange(len(classes), dtype=np.int64), [len(own) for own in files])


def _kept(
    folder: Path, classes: Sequence[str], labels: NDArray[np.int64], readable: Sequence[bool] | NDArray[np.bool_]
) -> Indices:
    """Return the indices of the readable files; each class has to have one."""
    kept = np.flatnonzero(readable)
    for label in np.flatnonzero(np.bincount(labels[kept], minlength=len(classes)) == 0):
        raise unusable(f"none of the images in {folder / classes[int(label)]} can be read")
    return kept


def _others(root: Path, names: Sequence[str], kept: Indices) -> tuple[str, ...]:
    """Return the names of the files that are left out, and of those that are too large how large they are."""
    left_out = (names[index] for index in sorted({*range(len(names))} - {*kept.tolist()}))
    return tuple(f"{shown(name)}{_too_large(root / name)}" for name in left_out)


def _too_large(path: Path) -> str:
    """Return, in brackets, by how much an image has more pixels than are read; "" for any other file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(path).close()
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        return f" (too large: {int(pixels[1]):,} pixels, at most {LARGEST:,})" if pixels else " (too large)"
    except Exception:  # as in `decoded`
        return ""
    return ""


def _every(root: Path, names: Sequence[str], size: int, geometry: Geometry | None = None) -> Iterator[Pixels | None]:
    """Yield each image, None for one that cannot be read."""
    for start in range(0, len(names), BATCH):
        paths = [root / name for name in names[start : start + BATCH]]
        yield from _decoders().map(partial(decoded, size=size, geometry=geometry), paths)


def decoded(path: Path, size: int, geometry: Geometry | None = None) -> Pixels | None:
    """Return the middle square of the image at `path`, scaled to `size`, shape (3, size, size); None if unreadable.

    With a `geometry` it is decoded in full and brought to `size` by that.
    """
    try:
        with Image.open(path) as image:
            if geometry is None:  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that is still large enough
                image.draft("RGB", (size, size))
            colours = coloured(image)
    except (MemoryError, StageFailed):
        raise
    except Exception:  # on damaged files Pillow's decoders raise errors of any kind, SyntaxError among others
        return None
    if geometry is not None:
        colours = geometry.squared(colours)
    elif colours.size != (size, size):
        side = min(colours.size)
        left, top = (colours.width - side) // 2, (colours.height - side) // 2
        square = (left, top, left + side, top + side)
        colours = colours.resize((size, size), Image.Resampling.BILINEAR, box=square)
    return np.ascontiguousarray(np.asarray(colours).transpose(2, 0, 1))


@cache
def _decoders() -> ThreadPoolExecutor:
    # Pillow decodes without Python's lock. As many threads as the engine gives the worker that this is.
    threads = wanted_threads() or max(1, core_count() // 2)
    return ThreadPoolExecutor(threads, thread_name_prefix="decode")
