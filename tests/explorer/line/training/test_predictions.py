from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from explorer.datasets import Held
from explorer.line.prepared import Inputs
from explorer.line.training import predictions


def test_accuracy_counts_hits_over_all_batches() -> None:
    count = predictions.BATCH + 44
    pixels = np.eye(2, dtype=np.uint8)[np.arange(count) % 2].reshape(count, 2, 1, 1)
    labels = np.arange(count) % 2
    labels[:30] = 1 - labels[:30]
    assert predictions.accuracy(nn.Flatten(), Inputs(Held(pixels, labels), np.zeros(2), np.ones(2))) == pytest.approx(
        1 - 30 / count
    )


def test_batches_of_large_images_are_smaller() -> None:
    assert predictions.batch_size((32, 32)) == predictions.BATCH
    assert predictions.batch_size((224, 224)) == 20
