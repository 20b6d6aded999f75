"""References: written and read alike, of the first test images, and deviations as shares of their range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.core.artifact import Artifact
from explorer.line.checking.reference import REFERENCE_IMAGES, Reference
from explorer.line.prepared import Prepared

IMAGES = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2)
LOGITS = np.array([[1, -4], [2, 0], [0, 3]], np.float32)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    Reference(IMAGES, LOGITS).save(tmp_path)
    loaded = Reference.load(tmp_path)
    np.testing.assert_array_equal(loaded.images, IMAGES)
    np.testing.assert_array_equal(loaded.logits, LOGITS)
    assert [file.name for file in tmp_path.iterdir()] == ["reference.npz"]


def test_a_deviation_is_the_largest_of_an_image_as_a_share_of_the_range_of_all() -> None:
    reference = Reference(IMAGES, LOGITS)
    assert reference.range == 4
    assert reference.deviations(LOGITS + np.array([[0.5, -1], [0, 0], [0, 2]], np.float32)) == pytest.approx(
        [0.25, 0, 0.5]
    )
    assert reference.deviations(LOGITS[:1]) == pytest.approx([0]), "fewer images are compared with the first"
    assert np.isnan(reference.deviations(np.full((1, 2), np.nan, np.float32))).all()


def test_references_are_of_the_first_test_images(digits: Artifact) -> None:
    splits = Prepared.load(digits)
    np.testing.assert_array_equal(Reference.inputs(splits), splits.test[:][:REFERENCE_IMAGES])
