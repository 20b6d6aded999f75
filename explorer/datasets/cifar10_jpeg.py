"""CIFAR-10 as JPEG files, ``{train,test}/<class>/*.jpg`` → splits of 32x32 colour images, 10 classes.

JPEG loses some detail: accuracies are close to those on the original CIFAR-10, and not the same.
"""

from __future__ import annotations

from pathlib import Path

from explorer.datasets import Options, Splits, _files, stratified
from explorer.datasets._folders import survey

FOLDERS = ("cifar10-jpeg",)
IMAGES = ("train", "test")
CHECKS = True
AUGMENT = ("crop", "flip")
LOOKS = (10, (3, 32, 32))  # classes, and shape of images

SIZE = 32


def check(root: str) -> str | None:
    """Return what is wrong with the folders of classes in one sentence, None if nothing is."""
    return _files.fault(Path(root), IMAGES)


def load(options: Options) -> Splits:
    """Return the images, uint8, shape (N, 3, 32, 32), the training images split by class."""
    files = survey(options.root, IMAGES)
    classes = _files.classes_of(files, IMAGES)
    # In memory, 180 MB in all: to read small files again and again would outlast the training.
    train, bad_train = _files.read_into_memory(files, "train", classes, SIZE)
    test, bad_test = _files.read_into_memory(files, "test", classes, SIZE)
    rest, validation = stratified(train, options.validation, options.seed)
    return Splits(rest, validation, test, classes, bad_train + bad_test, files.notes)
