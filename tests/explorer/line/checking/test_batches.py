"""Images run through a network of a fixed batch: each once, in order, the last batch filled up."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from explorer.line.checking.batches import filled, in_batches

IMAGES = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) + np.zeros((1, 3, 2, 2), np.float32)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 7, 16])
@pytest.mark.parametrize("rows", [1, 4])
def test_every_image_has_the_outputs_that_it_has_alone(batch: int, rows: int) -> None:
    """A part of a network may end in several rows for an image."""

    def network(images: NDArray[np.float32]) -> NDArray[np.float32]:
        assert images.shape == (batch, 3, 2, 2)
        return np.repeat(images.sum(axis=(2, 3)), rows, axis=0)

    expected = np.repeat(IMAGES.sum(axis=(2, 3)), rows, axis=0)
    np.testing.assert_array_equal(in_batches(network, IMAGES, batch), expected)


def test_a_batch_is_the_first_images_or_all_of_them_again() -> None:
    np.testing.assert_array_equal(filled(IMAGES, 3), IMAGES[:3])
    np.testing.assert_array_equal(filled(IMAGES, 7), np.concatenate([IMAGES, IMAGES[:2]]))
