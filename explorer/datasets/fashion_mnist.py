"""Fashion-MNIST in the files of torchvision or of Debian's package → splits of grey 28x28 images, 10 classes."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from explorer.datasets import Held, Options, Splits, stratified, unusable

FOLDERS = ("FashionMNIST/raw", "/usr/share/datasets/fashion-mnist")  # the second: package dataset-fashion-mnist
FILES = (
    "train-images-idx3-ubyte*",
    "train-labels-idx1-ubyte*",
    "t10k-images-idx3-ubyte*",
    "t10k-labels-idx1-ubyte*",
)
DOWNLOADS = True
AUGMENT = ("shift", "flip")
LOOKS = (10, (1, 28, 28))  # classes, and shape of images

# Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv 1708.07747, table 2.
CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
UNSIGNED_BYTES = 0x08  # the element type in the head of an IDX file


def download(folder: str) -> None:
    """Fetch 31 MB from the authors' mirror into `folder`."""
    from torchvision.datasets import FashionMNIST

    FashionMNIST(folder, download=True)


def load(options: Options) -> Splits:
    """Return the images, uint8, shape (N, 1, 28, 28), the training images split by class."""
    train, test = (_held(options.root, prefix) for prefix in ("train", "t10k"))
    rest, validation = stratified(train, options.validation, options.seed)
    return Splits(rest, validation, test, CLASSES)


def _held(root: Path, prefix: str) -> Held:
    images = read_idx(root, f"{prefix}-images-idx3-ubyte")
    labels = read_idx(root, f"{prefix}-labels-idx1-ubyte")
    if len(images) != len(labels):
        raise unusable(f"{root} has {len(images)} {prefix} images and {len(labels)} labels")
    return Held(images[:, np.newaxis], labels.astype(np.int64))


def read_idx(root: Path, name: str) -> NDArray[np.uint8]:
    """Return the array in the IDX file `name`, compressed with gzip or not.

    Raises
    ------
    StageFailed
        If the file is damaged.
    """
    packed = root / f"{name}.gz"
    try:
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else (root / name).read_bytes()
        kind, axes = content[2], content[3]
        shape = np.frombuffer(content, ">i4", axes, 4)
        if content[:2] != b"\0\0" or kind != UNSIGNED_BYTES:
            raise ValueError("no IDX file of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise unusable(f"{packed if packed.exists() else root / name} is damaged: {error}") from error
