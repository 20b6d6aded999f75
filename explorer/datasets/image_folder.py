"""Any labelled folder, ``{train,val,test}/<class>/*.jpg``, ImageNet too → splits of square colour images, streamed."""

from __future__ import annotations

from pathlib import Path

from explorer.datasets import Images, Options, Splits, _files, _geometry, stratified

FOLDER_SETTING = "image_folder"
FILES = ("train/*/*",)
OPTIONAL_FILES = ("val/*/*", "test/*/*")
CHECKS = True
SCALES = True
AUGMENT = ("resized_crop", "flip")


def check(root: str) -> str | None:
    """Return what is wrong with the folders of classes in one sentence, None if nothing is."""
    return _files.fault(Path(root), _present(Path(root)))


def load(options: Options) -> Splits:
    """Return the images, uint8, shape (N, 3, image_size, image_size); they stay in their files.

    A test or validation split that the folder lacks is held back from the training images, by class.
    """
    root, size, geometry = options.root, options.image_size, _geometry.of_files(options)
    present = _present(root)
    classes = _files.class_folders(root, present)
    corrupt: list[str] = []
    found: dict[str, Images] = {}
    for split in present:
        found[split], unreadable = _files.read(root, split, classes, size, geometry)
        corrupt += unreadable
    for split, share in (("test", options.test), ("val", options.validation)):
        if split not in found:
            found["train"], found[split] = stratified(found["train"], share, options.seed)
    return Splits(found["train"], found["val"], found["test"], classes, tuple(corrupt))


def _present(root: Path) -> list[str]:
    return [split for split in ("train", "val", "test") if (root / split).is_dir()]
