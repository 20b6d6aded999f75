"""CIFAR-10 in the files that torchvision reads or downloads → splits of 32x32 colour images, 10 classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.datasets import Held, Options, Splits, stratified, unusable

FOLDERS = ("cifar-10-batches-py",)
FILES = ("data_batch_[1-5]", "test_batch", "batches.meta")
DOWNLOADS = True
AUGMENT = ("crop", "flip")
LOOKS = (10, (3, 32, 32))  # classes, and shape of images


def download(folder: str) -> None:
    """Fetch 170 MB from the authors' page into `folder`."""
    from torchvision.datasets import CIFAR10

    CIFAR10(folder, download=True)


def load(options: Options) -> Splits:
    """Return the images, uint8, shape (N, 3, 32, 32), the training images split by class."""
    from torchvision.datasets import CIFAR10

    try:
        train, test = (CIFAR10(options.root.parent, train=train) for train in (True, False))
    except RuntimeError as error:  # its check of the files' MD5 sums failed
        raise unusable(f"the files in {options.root} are not those of CIFAR-10: {error}") from error
    rest, validation = stratified(_held(train), options.validation, options.seed)
    return Splits(rest, validation, _held(test), tuple(train.classes))


def _held(images: Any) -> Held:
    return Held(np.ascontiguousarray(images.data.transpose(0, 3, 1, 2)), np.array(images.targets, np.int64))
