"""Any labelled folder, ``{train,val,test}/<class>/*.jpg``, ImageNet too → splits of square colour images, streamed."""

from __future__ import annotations

from pathlib import Path

from explorer.datasets import Images, Options, Splits, _files, _geometry, stratified
from explorer.datasets._folders import survey

FOLDER_SETTING = "image_folder"
IMAGES = ("train",)
OPTIONAL_IMAGES = ("val", "test")
CHECKS = True
SCALES = True
AUGMENT = ("resized_crop", "flip")


def check(root: str) -> str | None:
    """Return what is wrong with the folders of classes in one sentence, None if nothing is."""
    return _files.fault(Path(root), IMAGES, OPTIONAL_IMAGES)


def load(options: Options) -> Splits:
    """Return the images, uint8, shape (N, 3, image_size, image_size); they stay in their files.

    A test or validation split that the folder lacks is held back from the training images, by class.
    """
    size, geometry = options.image_size, _geometry.of_files(options)
    files = survey(options.root, (*IMAGES, *OPTIONAL_IMAGES))
    present = (*IMAGES, *(split for split in OPTIONAL_IMAGES if split in files.folders))
    classes = _files.classes_of(files, present)
    corrupt: list[str] = []
    found: dict[str, Images] = {}
    for split in present:
        found[split], unreadable = _files.read(files, split, classes, size, geometry)
        corrupt += unreadable
    for split, share in (("test", options.test), ("val", options.validation)):
        if split not in found:
            found["train"], found[split] = stratified(found["train"], share, options.seed)
    return Splits(found["train"], found["val"], found["test"], classes, tuple(corrupt), files.notes)
