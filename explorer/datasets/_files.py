"""A folder of class folders of image files → images that are decoded whenever they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explorer.core.errors import StageFailed
from explorer.datasets import Held, Indices, Pixels, channel_sums, unusable
from explorer.datasets._geometry import Geometry

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
CHANNELS = 3
BATCH = 64  # images of one decoding pass that are in memory at once


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


def class_folders(root: Path, splits: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes, sorted: those of the folders in ``root/split``, the same for all `splits`.

    Parameters
    ----------
    splits
        The training split first.

    Raises
    ------
    StageFailed
        If a split has other folders than the first, or a folder has no image.
    """
    reference = root / splits[0]
    classes = _subfolders(reference)
    if not classes:
        raise unusable(f"{reference} has no folders of classes; images are expected at {reference}/CLASS/NAME.jpg")
    for split in splits:
        found = _subfolders(root / split)
        for name in sorted(set(classes) - set(found)):
            raise unusable(f"{root / split} has no folder for class '{name}', which {reference} has")
        for name in sorted(set(found) - set(classes)):
            raise unusable(f"{root / split} has a folder for class '{name}', which {reference} has not")
    for folder in (root / split / name for split in splits for name in classes):
        if not _image_names(folder):
            raise unusable(f"{folder} holds no image; expected files that end in {', '.join(SUFFIXES)}")
    return tuple(classes)


def fault(root: Path, splits: Sequence[str]) -> str | None:
    """Return what is wrong with the folders of classes in one sentence, None if nothing is."""
    try:
        class_folders(root, splits)
    except StageFailed as failed:
        return str(failed)
    return None


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def _image_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def read(
    root: Path, split: str, classes: Sequence[str], size: int, geometry: Geometry | None = None
) -> tuple[Files, tuple[str, ...]]:
    """Return the images in ``root/split/CLASS/``, every one decoded once, and the names of those that are corrupt.

    Raises
    ------
    StageFailed
        If none of a class can be read.
    """
    names, labels = _listed(root, split, classes)
    every = _every(root, names, size, geometry)
    sums = [None if image is None else channel_sums(image[np.newaxis])[0] for image in every]
    kept = _kept(root / split, classes, labels, [each is not None for each in sums])
    files = Files(root, tuple(names[i] for i in kept), labels[kept], size, np.array([sums[i] for i in kept]), geometry)
    return files, _others(names, kept)


def read_into_memory(root: Path, split: str, classes: Sequence[str], size: int) -> tuple[Held, tuple[str, ...]]:
    """Return the same as `read`, with the images in an array."""
    names, labels = _listed(root, split, classes)
    array = np.empty((len(names), CHANNELS, size, size), np.uint8)
    readable = np.zeros(len(names), bool)
    for index, image in enumerate(_every(root, names, size)):
        if image is not None:
            array[index], readable[index] = image, True
    kept = _kept(root / split, classes, labels, readable)
    return Held(array[kept], labels[kept]), _others(names, kept)


def _listed(root: Path, split: str, classes: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the image files of a split, relative to `root`, and their labels."""
    files = [_image_names(root / split / name) for name in classes]
    names = [f"{split}/{name}/{file}" for name, own in zip(classes, files, strict=True) for file in own]
    return names, np.repeat(np.arange(len(classes), dtype=np.int64), [len(own) for own in files])


def _kept(
    folder: Path, classes: Sequence[str], labels: NDArray[np.int64], readable: Sequence[bool] | NDArray[np.bool_]
) -> Indices:
    """Return the indices of the readable files; each class has to have one."""
    kept = np.flatnonzero(readable)
    for label in np.flatnonzero(np.bincount(labels[kept], minlength=len(classes)) == 0):
        raise unusable(f"none of the images in {folder / classes[int(label)]} can be read")
    return kept


def _others(names: Sequence[str], kept: Indices) -> tuple[str, ...]:
    return tuple(names[index] for index in sorted({*range(len(names))} - {*kept.tolist()}))


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
            colours = image.convert("RGB")
    except MemoryError:
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
    # Pillow decodes without Python's lock. As many threads as the engine lets one network train on.
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), thread_name_prefix="decode")
