"""The 1797 handwritten digits that scikit-learn embeds → splits of grey 8x8 images, 10 classes; nothing to download."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from explorer.datasets import Held, Options, Splits, stratified

AUGMENT = ("shift",)
LOOKS = (10, (1, 8, 8))  # classes, and shape of images

# A pixel counts the set bits in a 4x4 block of the 32x32 bitmap (UCI data set 80): 0 to 16.
GREY_STEP = 15


def load(options: Options) -> Splits:
    """Return the digits, uint8, shape (N, 1, 8, 8), split by class: black is 0, white 240."""
    bunch = load_digits()
    array = (bunch.images * GREY_STEP).astype(np.uint8)[:, np.newaxis]
    remaining, test = stratified(Held(array, bunch.target.astype(np.int64)), options.test, options.seed)
    train, validation = stratified(remaining, options.validation, options.seed)
    return Splits(train, validation, test, tuple(map(str, bunch.target_names)))
