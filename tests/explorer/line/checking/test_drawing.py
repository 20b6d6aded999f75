"""Some of the images: every class to its share, by the seed alone."""

from __future__ import annotations

import numpy as np

from explorer.line.checking.drawing import draw


def test_drawn_images_have_every_class_and_follow_the_seed() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])[np.random.default_rng(0).permutation(1000)]
    indices = draw(labels, 50, seed=1)
    assert len(np.unique(indices)) == 50
    assert np.abs(np.bincount(labels[indices]) - [30, 15, 5]).max() <= 1
    np.testing.assert_array_equal(indices, draw(labels, 50, seed=1))
    assert not np.array_equal(indices, draw(labels, 50, seed=2))
    for count in (0, 1000, 2000):
        np.testing.assert_array_equal(draw(labels, count, seed=1), np.arange(1000))
