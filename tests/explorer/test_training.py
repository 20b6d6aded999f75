from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from explorer import training
from explorer.datasets import Images
from explorer.errors import StageFailed

RECIPE = training.Recipe(epochs=1, batch_size=4, learning_rate=0.1, weight_decay=0.0, seed=0)


def test_shifts_move_each_image_by_an_eighth_at_most() -> None:
    torch.manual_seed(0)
    image = torch.zeros(500, 2, 16, 8)
    image[:, :, 5, 4] = 1
    moved = training.shifted(image)
    assert moved.shape == image.shape
    assert torch.equal(moved[:, 0], moved[:, 1])
    positions = {(int(row) - 5, int(column) - 4) for _, row, column in moved[:, 0].nonzero()}
    assert positions == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}


def test_accuracy_counts_hits_over_all_batches() -> None:
    count = training.EVALUATION_BATCH + 44
    pixels = np.eye(2, dtype=np.float32)[np.arange(count) % 2].reshape(count, 2, 1, 1)
    labels = np.arange(count) % 2
    labels[:30] = 1 - labels[:30]
    assert training.accuracy(nn.Flatten(), Images(pixels, labels)) == pytest.approx(1 - 30 / count)


def test_no_epochs_leave_the_weights_alone() -> None:
    linear = nn.Linear(4, 2)
    model = nn.Sequential(nn.Flatten(), linear)
    before = linear.weight.detach().clone()
    images = Images(np.ones((8, 1, 2, 2), np.float32), np.zeros(8, np.int64))
    training.fit("train", model, images, RECIPE, epochs=0)
    assert torch.equal(linear.weight, before)
    training.fit("train", model, images, RECIPE)
    assert not torch.equal(linear.weight, before)


def test_fewer_images_than_a_batch_still_train() -> None:
    linear = nn.Linear(4, 2)
    model = nn.Sequential(nn.Flatten(), linear)
    before = linear.weight.detach().clone()
    training.fit("train", model, Images(np.ones((3, 1, 2, 2), np.float32), np.zeros(3, np.int64)), RECIPE)
    assert not torch.equal(linear.weight, before)


class Hungry(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 60)


def test_running_out_of_memory_is_a_failure() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Hungry())
    with pytest.raises(StageFailed, match="a batch of 4 does not fit") as failed:
        training.fit("train", model, Images(np.ones((8, 1, 2, 2), np.float32), np.zeros(8, np.int64)), RECIPE)
    assert failed.value.failure.kind == "out_of_memory"


def test_an_error_in_a_model_is_a_bug_and_raises() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="shapes"):
        training.fit("train", model, Images(np.ones((8, 1, 2, 2), np.float32), np.zeros(8, np.int64)), RECIPE)
