"""What the function of a data set returns → its splits, or what is wrong with them in one sentence; see ``targets``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from explorer.datasets import SPLITS, Held, Images, Splits, unusable
from explorer.line.checking import targets
from explorer.line.checking.pixels import as_pixels

PAIR = 2  # an array and its labels


def checked(name: str, returned: object) -> Splits:
    """Return the splits that data set `name` returned: pixels of uint8, and targets as networks are trained on them.

    Raises
    ------
    StageFailed
        If no network can be trained on them, or it is not clear what they mean.
    """
    if not isinstance(returned, Splits):
        raise unusable(f"data set {name} returns a {type(returned).__name__}; it must return explorer.datasets.Splits")
    classes = _classes(name, returned.classes)
    given = {split: _held(name, split, getattr(returned, split)) for split in SPLITS}
    held = {split: images for split, images in given.items() if isinstance(images, Held)}
    pixels = as_pixels(name, {split: images.array for split, images in held.items()})
    labels = targets.as_targets(name, {split: images.labels for split, images in held.items()}, classes)
    found: dict[str, Images] = dict(given)
    for split in held:
        if len(labels[split]) != len(pixels[split]):
            raise unusable(
                f"data set {name} has {len(pixels[split]):,} {split} images and {len(labels[split]):,} labels; each "
                "image needs one"
            )
        found[split] = Held(pixels[split], labels[split])
    train, validation, test = (found[split] for split in SPLITS)
    splits = replace(returned, train=train, validation=validation, test=test, classes=classes)
    for split in SPLITS:
        _check_shape(name, split, splits)
        targets.check(name, split, splits)
    return splits


def _classes(name: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise unusable(f"data set {name} has classes {given!r}; it must list the classes' names")
    classes = tuple(map(str, given))
    for each in classes:
        if classes.count(each) > 1:
            raise unusable(f"data set {name} names class '{each}' twice; each needs a name of its own")
    return classes


def _held(name: str, split: str, images: Any) -> Images:
    """Return images that the data stage can ask for pixels; a pair of an array and labels is taken as such."""
    if isinstance(images, (tuple, list)) and len(images) == PAIR:
        return Held(*images)
    if not isinstance(images, Held) and not all(hasattr(images, part) for part in ("labels", "pixels", "sums")):
        kind = type(images).__name__
        raise unusable(f"data set {name} has {split} images in a {kind}; it must be explorer.datasets.Held")
    return images  # type: ignore[no-any-return]


def _check_shape(name: str, split: str, splits: Splits) -> None:
    """Raise if a split's images have another shape than the training images."""
    shape, train = getattr(splits, split).shape, splits.train.shape
    if shape != train:
        raise unusable(
            f"data set {name} has train images of shape {train} and {split} images of shape {shape}; all must have "
            "the same"
        )
