"""The 1797 handwritten digits that scikit-learn embeds → splits of grey 8x8 images, 10 classes; nothing to download."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from explorer.datasets import Images, Splits, stratified

GREY_LEVELS = 16.0  # a pixel counts the set bits in a 4x4 block of the 32x32 bitmap (UCI data set 80)


def load(validation: float, test: float, seed: int) -> Splits:
    """Return the digits with pixels in [0, 1], shape (N, 1, 8, 8), split by class.

    Parameters
    ----------
    validation
        Share of the images left after `test` that the search's accuracy is taken on.
    test
        Share of all images that is held back.
    """
    bunch = load_digits()
    pixels = (bunch.images / GREY_LEVELS).astype(np.float32)[:, np.newaxis]
    remaining, held = stratified(Images(pixels, bunch.target.astype(np.int64)), test, seed)
    train, checked = stratified(remaining, validation, seed)
    return Splits(train, checked, held)
