"""What data sets of the users' own return: taken rightly, or refused in one sentence that says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from explorer.core.errors import StageFailed
from explorer.datasets import SPLITS, Held, Splits
from explorer.line.checking import targets
from explorer.line.checking.splits import checked

PIXELS = "images must be pixels from 0 to 255 of dtype uint8 and shape (N, channels, height, width)"


def splits(count: int = 6, **train: Any) -> Splits:
    """Return splits of two classes, the train split with other fields where given."""
    images = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8)).astype(np.uint8)
    held = Held(images, np.arange(count) % 2)
    return Splits(replace(held, **train), held, held, ("one", "other"))


def array(dtype: str = "uint8", shape: tuple[int, ...] = (6, 1, 8, 8)) -> dict[str, Any]:
    return {"array": np.ones(shape, dtype)}


REFUSED: dict[str, tuple[object, str]] = {
    "floats": (splits(**array("float32")), f"has train images of dtype float32; {PIXELS}"),
    "16 bits": (splits(**array("uint16")), f"has train images of dtype uint16; {PIXELS}"),
    "rows of a table": (splits(**array(shape=(6, 64))), f"has train images of shape (6, 64); {PIXELS}"),
    "channels last": (
        splits(**array(shape=(6, 8, 8, 3))),
        f"has train images of shape (6, 8, 8, 3), whose channels seem to be last; {PIXELS}",
    ),
    "other sizes": (
        splits(**array(shape=(6, 1, 4, 8))),
        "has train images of shape (1, 4, 8) and validation images of shape (1, 8, 8); all must have the same",
    ),
    "floats as labels": (
        splits(labels=np.ones(6)),
        f"names 2 classes and has train labels of dtype float32 and shape (6, 1); {targets.ALLOWED}, of which classes "
        "may name each",
    ),
    "one-hot labels": (
        splits(labels=np.eye(2, dtype=int)[[0, 1] * 3]),
        f"has train labels of dtype int64 and shape (6, 2) for images of shape (1, 8, 8); {targets.ALLOWED}",
    ),
    "too few labels": (splits(labels=np.arange(4) % 2), "has train 6 images and 4 labels; each image needs one"),
    "labels below 0": (
        splits(labels=np.arange(6) % 2 - 1),
        "has the train label -1; labels are indices of the classes from 0",
    ),
    "labels beyond the classes": (splits(labels=np.arange(6) % 3), "names 2 classes and has train images of 3"),
    "a class that is not there": (splits(labels=np.zeros(6, int)), "has no train image of class 'other'"),
    "one class": (
        replace(splits(), classes=("only",)),
        "has one class, 'only'; a classifier needs at least two",
    ),
    "a tuple": ((1, 2, 3), "returns a tuple; it must return explorer.datasets.Splits"),
}


@pytest.mark.parametrize(("returned", "said"), REFUSED.values(), ids=REFUSED)
def test_what_no_network_can_be_trained_on_is_refused(returned: object, said: str) -> None:
    with pytest.raises(StageFailed) as failed:
        checked("sets:own", returned)
    assert failed.value.failure.message == f"data set sets:own {said}"
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("data", "unusable")


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
    "text": (of(np.array(list("abcdef"))), r"has train labels of dtype <U1 and shape \(6,\); labels must be"),
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


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64"])
def test_labels_of_every_type_of_whole_numbers_are_taken(dtype: str) -> None:
    found = checked("sets:own", splits(labels=(np.arange(6) % 2).astype(dtype)))
    assert found.train.labels.dtype == np.int64
    assert found.train.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_what_is_right_stays_as_it_is() -> None:
    given = splits()
    found = checked("sets:own", given)
    for split in SPLITS:
        np.testing.assert_array_equal(getattr(found, split).pixels(np.arange(6)), getattr(given, split).array)
    assert (found.classes, found.corrupt) == (given.classes, given.corrupt)
