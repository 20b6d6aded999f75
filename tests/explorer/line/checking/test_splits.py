"""What data sets of the users' own return: taken rightly, or refused in one sentence that says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from explorer.core.errors import StageFailed
from explorer.datasets import SPLITS, Held, Splits, stratified
from explorer.line.checking import targets
from explorer.line.checking.splits import checked

CLASSES = ("one", "other")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8)).astype(np.uint8)
LABELS = np.arange(6) % 2


def splits(**train: Any) -> Splits:
    """Return splits of two classes, the train split with other fields where given."""
    held = Held(IMAGES, LABELS)
    return Splits(replace(held, **train), held, held, CLASSES)


def alike(array: Any = IMAGES, labels: Any = LABELS) -> Splits:
    """Return splits that all hold the same."""
    held = Held(array, labels)
    return Splits(held, held, held, CLASSES)


def ones(dtype: str = "uint8", shape: tuple[int, ...] = (6, 1, 8, 8)) -> Splits:
    return splits(array=np.ones(shape, dtype))


UNIT = (IMAGES / 255).astype(np.float32)
REFUSED: dict[str, tuple[object, str]] = {
    "centred": (alike(UNIT - np.float32(0.5)), "has train images of dtype float32 from -0.5 to 0.5; "),
    "not finite": (alike(np.where(UNIT > 0.9, np.nan, UNIT)), "has train images of dtype float32 from nan to nan; "),
    "of a scale of its own": (alike(UNIT * 60), "has train images of dtype float32 up to 60; "),
    "beyond 8 bits": (alike(UNIT * 4095), "has train images of dtype float32 from 0 to 4095; "),
    "16 bits": (alike(IMAGES.astype(np.uint16) * 257), "has train images of dtype uint16 from 0 to 65535; "),
    "complex": (alike(IMAGES * 1j), "has train images of dtype complex128; "),
    "rows of a table": (ones(shape=(6, 64)), "has train images of shape (6, 64); "),
    "signals": (ones(shape=(6, 9, 128, 1)), "of shape (6, 9, 128, 1), whose channels seem to be last; "),
    "other sizes": (
        ones(shape=(6, 3, 4, 8)),
        "has train images of shape (3, 4, 8) and validation images of shape (3, 8, 8); all must have the same",
    ),
    "shares as labels": (splits(labels=LABELS / 2), "has train labels of dtype float64 and shape (6,); labels must be"),
    "two classes an image": (
        splits(labels=np.ones((6, 2), int)),
        "has train labels of dtype int64 and shape (6, 2); labels must be the indices of the classes from 0, their "
        "names, or one-hot rows, one for each image",
    ),
    "another name": (
        splits(labels=["one", "othr"] * 3),
        "has the train label 'othr'; allowed: one, other; did you mean 'other'?",
    ),
    "too few labels": (splits(labels=np.arange(4) % 2), "has 6 train images and 4 labels; each image needs one"),
    "labels below 0": (splits(labels=LABELS - 1), "has the train label -1; labels are indices of the classes from 0"),
    "labels from 1": (
        splits(labels=LABELS + 1),
        "names 2 classes and has the train label 2; labels are indices of the classes from 0",
    ),
    "a class that is not there": (splits(labels=np.zeros(6, int)), "has no train image of class 'other'"),
    "one class": (replace(alike(), classes=("only",)), "has one class, 'only'; a classifier needs at least two"),
    "a class twice": (replace(alike(), classes=("a", "a")), "names class 'a' twice; each needs a name of its own"),
    "a number of classes": (replace(alike(), classes=2), "has classes 2; it must list the classes' names"),  # type: ignore[arg-type]
    "a tuple": ((1, 2, 3), "returns a tuple; it must return explorer.datasets.Splits"),
    "arrays alone": (
        Splits(IMAGES, IMAGES, IMAGES, CLASSES),  # type: ignore[arg-type]
        "has train images in a ndarray; it must be explorer.datasets.Held",
    ),
}


@pytest.mark.parametrize(("returned", "said"), REFUSED.values(), ids=REFUSED)
def test_what_no_network_can_be_trained_on_is_refused(returned: object, said: str) -> None:
    with pytest.raises(StageFailed) as failed:
        checked("sets:own", returned)
    message = failed.value.failure.message
    assert message.startswith("data set sets:own has ") or message == f"data set sets:own {said}"
    assert said in message
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("data", "unusable")


TAKEN: dict[str, Splits] = {
    "floats to 1": alike(UNIT),
    "floats to 255": alike(IMAGES.astype(np.float64)),
    "floats between": alike(IMAGES + 0.3 * (IMAGES < 200)),
    "whole numbers": alike(IMAGES.astype(np.int32)),
    "lists": alike(IMAGES.tolist(), LABELS.tolist()),
    "tensors": alike(torch.from_numpy(UNIT), torch.from_numpy(LABELS)),
    "channels last": alike(IMAGES.transpose(0, 2, 3, 1)),
    "floats, channels last": alike(UNIT.transpose(0, 2, 3, 1)),
    "one split of floats": splits(array=UNIT),
    "pairs": Splits((IMAGES, LABELS), (IMAGES, LABELS), [IMAGES, LABELS], CLASSES),  # type: ignore[arg-type]
    "a list of classes": replace(alike(), classes=list(CLASSES)),  # type: ignore[arg-type]
    "names as labels": alike(labels=["one", "other"] * 3),
    "names as objects": alike(labels=np.array(["one", "other"] * 3, object)),
    "bytes as labels": alike(labels=np.array([b"one", b"other"] * 3)),
    "one-hot rows": alike(labels=np.eye(2, dtype=np.float32)[LABELS]),
    "a column": alike(labels=LABELS[:, np.newaxis]),
    "truth": alike(labels=LABELS.astype(bool)),
    **{f"labels of {dtype}": alike(labels=LABELS.astype(dtype)) for dtype in ("uint8", "int32", "uint64", "float32")},
}


@pytest.mark.parametrize("given", TAKEN.values(), ids=TAKEN)
def test_what_is_clear_is_taken_as_it_is_meant(given: Splits) -> None:
    found = checked("sets:own", given)
    assert found.classes == CLASSES
    for images in (getattr(found, split) for split in SPLITS):
        pixels = images.pixels(np.arange(6))
        assert (pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)
        np.testing.assert_array_equal(pixels, IMAGES)
        np.testing.assert_array_equal(images.labels, LABELS)


def test_grey_images_need_no_axis_of_channels_and_masks_are_black_and_white() -> None:
    grey = IMAGES[:, :1]
    for array in (grey[:, 0], grey.transpose(0, 2, 3, 1), grey):
        np.testing.assert_array_equal(checked("sets:own", alike(array)).train.pixels(np.arange(6)), grey)
    np.testing.assert_array_equal(checked("sets:own", alike(grey > 99)).test.pixels(np.arange(6)), 255 * (grey > 99))


def test_axes_and_scales_are_those_of_the_array_where_channels_come_first() -> None:
    """Two channels of 12x10, and dark images of 8 bits, are as documented, whatever else they might be."""
    for array in (np.ones((6, 2, 12, 10), np.uint8), np.ones((6, 3, 8, 3), np.uint8)):
        np.testing.assert_array_equal(checked("sets:own", alike(array)).train.pixels(np.arange(6)), array)


def test_images_without_a_label_each_are_refused_where_they_are_split() -> None:
    with pytest.raises(StageFailed, match="there are 6 images and 4 labels; each image needs one"):
        stratified(Held(IMAGES, LABELS[:4]), 0.5, 0)
    with pytest.raises(StageFailed, match="images of different shapes cannot be one array"):
        Held([[[1]], [[1, 2]]], LABELS)  # type: ignore[arg-type]
    rest, held = stratified(Held(UNIT.tolist(), ["one", "other"] * 3), 0.5, 0)  # type: ignore[arg-type]
    assert sorted(rest.labels) == ["one", "one", "other"] or sorted(rest.labels) == ["one", "other", "other"]
    assert len(held) == 3


def of(labels: np.ndarray, classes: tuple[str, ...] = ("one", "other")) -> Splits:
    """Return splits of 6 images, 8x8, with these labels."""
    held = Held(np.zeros((6, 1, 8, 8), np.uint8), labels)
    return Splits(held, held, held, classes)


MASK = np.zeros((6, 8, 8), np.uint8)
NOT_FINITE = np.where(np.arange(6) == 3, np.nan, 1.0)
WRONG_TARGETS: dict[str, tuple[Splits, str]] = {
    "smaller masks": (of(MASK[:, ::2]), r"has train labels of dtype uint8 and shape \(6, 4, 8\) for images of"),
    "no class of that index": (of(MASK + 2), "names 2 classes and has 2 in a train mask; masks hold indices"),
    "masks below 0": (of(MASK.astype(int) - 1), "names 2 classes and has -1 in a train mask"),
    "one class of masks": (of(MASK, ("one",)), "names 1 classes of its masks; a pixel needs at least two"),
    "no number": (of(np.zeros((6, 0))), r"has targets of .* \(6, 0\) for train images, which is no number"),
    "not finite": (of(NOT_FINITE, ()), "has train targets that are not finite: NaN or infinite"),
    "names of other numbers": (of(np.ones((6, 3))), r"names 2 classes and has train labels of .* shape \(6, 3\)"),
    "no indices": (
        of(np.arange(6) / 4),
        r"has train labels of dtype float64 and shape \(6,\); labels",
    ),
    "counts": (of(np.ones((6, 3), int)), r"has train labels of dtype int64 and shape \(6, 3\); .* floats of shape"),
    "one name of labels": (of(np.zeros(6, int), ("one",)), "has one class, 'one'; a classifier needs at least two"),
    "two kinds": (
        replace(of(MASK), test=of(np.ones((6, 2))).test),
        r"has targets of dtype uint8 and shape \(6, 8, 8\) for train images and .* for test images; all must have",
    ),
}


@pytest.mark.parametrize(("returned", "said"), WRONG_TARGETS.values(), ids=WRONG_TARGETS)
def test_targets_that_no_network_can_be_trained_on_are_refused(returned: Splits, said: str) -> None:
    with pytest.raises(StageFailed, match=f"^data set sets:own {said}"):
        checked("sets:own", returned)


def test_masks_and_numbers_are_kept_as_networks_are_trained_on_them() -> None:
    mask = np.where(np.arange(64).reshape(8, 8) % 3 == 0, 255, 1).astype(np.uint8)
    found = checked("sets:own", of(np.stack([mask] * 6))).train.labels
    assert str(found.dtype) == "uint8"
    assert found[0].tolist() == mask.tolist()
    one = checked("sets:own", of(np.arange(6) / 4, ())).train.labels
    assert str(one.dtype) == "float32"
    assert one.tolist() == [[index / 4] for index in range(6)]
    assert targets.channels(of(np.ones((6, 3, 8, 8), np.float32), ())) == 3
    assert targets.channels(of(MASK)) == 2


def test_rows_are_one_hot_where_classes_have_names_and_numbers_otherwise() -> None:
    rows, some = np.eye(2, dtype=np.float32)[LABELS], np.ones((6, 2), np.float32)
    assert checked("sets:own", of(rows)).train.labels.tolist() == LABELS.tolist()
    assert checked("sets:own", of(rows.astype(bool))).train.labels.tolist() == LABELS.tolist()
    for numbers in (of(rows, ()), replace(of(rows), train=of(some).train)):
        found = checked("sets:own", numbers).test.labels
        assert (str(found.dtype), found.tolist()) == ("float32", rows.tolist())
