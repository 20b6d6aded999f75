"""The digits: every one in exactly one split, and every class in all splits to the same share."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from explorer.core.artifact import Artifact
from explorer.datasets import SPLITS
from tests.torch_stages import inputs_of


def test_every_digit_lies_in_exactly_one_split(digits: Artifact) -> None:
    mean, std = digits.values["mean"][0], digits.values["std"][0]
    restored = np.concatenate([images[:] for images in inputs_of(digits).values()]) * std + mean
    images = np.rint(restored[:, 0] * 255 / 15)
    assert sorted(map(tuple, images.reshape(-1, 64))) == sorted(map(tuple, load_digits().images.reshape(-1, 64)))


def test_splits_have_the_shares_asked_for_in_every_class(digits: Artifact) -> None:
    images = inputs_of(digits)
    counts = [np.bincount(each.labels, minlength=10) for each in images.values()]
    shares = counts / np.sum(counts, axis=0)
    np.testing.assert_allclose(shares, np.array([[0.6], [0.15], [0.25]]) * np.ones(10), atol=0.01)
    assert [len(each) for each in images.values()] == [digits.values[name] for name in SPLITS]
