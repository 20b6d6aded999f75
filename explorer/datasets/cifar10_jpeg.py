"""CIFAR-10 as JPEG files, ``{train,test}/<class>/*.jpg`` → splits of 32x32 colour images, 10 classes.

JPEG loses some detail: accuracies are close to those on the original CIFAR-10, and not the same.
"""

from __future__ import annotations

import numpy as np

from explorer.datasets import Held, Images, Options, Splits, _files, stratified

FOLDERS = ("cifar10-jpeg",)
FILES = ("train/*/*.jpg", "test/*/*.jpg")
AUGMENT = ("crop", "flip")

SIZE = 32


def load(options: Options) -> Splits:
    """Return the images, uint8, shape (N, 3, 32, 32), the training images split by class."""
    root = options.root
    classes = _files.class_folders(root, ("train", "test"))
    (train, bad_train), (test, bad_test) = (_files.read(root, split, classes, SIZE) for split in ("train", "test"))
    rest, validation = stratified(train, options.validation, options.seed)
    return Splits(_held(rest), _held(validation), _held(test), classes, bad_train + bad_test)


def _held(images: Images) -> Held:
    """Return the images in memory, 180 MB in all: to read small files again and again would outlast the training."""
    return Held(images.pixels(np.arange(len(images))), images.labels)
