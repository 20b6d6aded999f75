from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from explorer import training
from explorer.datasets import Held
from explorer.errors import StageFailed
from explorer.prepared import Inputs

RECIPE = training.Recipe(epochs=1, batch_size=4, learning_rate=0.1, weight_decay=0.0, seed=0)


def inputs(count: int, side: int = 2, labels: NDArray[np.int64] | None = None) -> Inputs:
    """Return white images of one channel, of class 0 unless `labels` says."""
    pixels = np.full((count, 1, side, side), 255, np.uint8)
    held = Held(pixels, np.zeros(count, np.int64) if labels is None else labels)
    return Inputs(held, np.zeros(1), np.ones(1))


def test_accuracy_counts_hits_over_all_batches() -> None:
    count = training.EVALUATION_BATCH + 44
    pixels = np.eye(2, dtype=np.uint8)[np.arange(count) % 2].reshape(count, 2, 1, 1)
    labels = np.arange(count) % 2
    labels[:30] = 1 - labels[:30]
    assert training.accuracy(nn.Flatten(), Inputs(Held(pixels, labels), np.zeros(2), np.ones(2))) == pytest.approx(
        1 - 30 / count
    )


def test_no_epochs_leave_the_weights_alone() -> None:
    linear = nn.Linear(4, 2)
    model = nn.Sequential(nn.Flatten(), linear)
    before = linear.weight.detach().clone()
    images = inputs(8)
    training.fit("train", model, images, RECIPE, epochs=0)
    assert torch.equal(linear.weight, before)
    training.fit("train", model, images, RECIPE)
    assert not torch.equal(linear.weight, before)


def test_fewer_images_than_a_batch_still_train() -> None:
    linear = nn.Linear(4, 2)
    model = nn.Sequential(nn.Flatten(), linear)
    before = linear.weight.detach().clone()
    training.fit("train", model, inputs(3), RECIPE)
    assert not torch.equal(linear.weight, before)


class Hungry(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 60)


def test_running_out_of_memory_is_a_failure() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Hungry())
    with pytest.raises(StageFailed, match="a batch of 4 does not fit") as failed:
        training.fit("train", model, inputs(8), RECIPE)
    assert failed.value.failure.kind == "out_of_memory"


def test_an_error_in_a_model_is_a_bug_and_raises() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="shapes"):
        training.fit("train", model, inputs(8), RECIPE)


def test_training_images_are_augmented_and_those_of_accuracies_are_not() -> None:
    seen: list[torch.Tensor] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(256, 2)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.detach().clone())
            logits: torch.Tensor = self.linear(image.flatten(1))
            return logits

    torch.manual_seed(0)
    images = replace(inputs(8, 16), augment=("crop",))
    training.fit("train", Watching(), images, RECIPE)
    assert {image.max().item() for image in seen} == {1.0}
    assert min(image.min().item() for image in seen) == 0, "a crop shows some of the black around the image"
    seen.clear()
    training.accuracy(Watching(), images)
    assert {image.min().item() for image in seen} == {1.0}


def test_batches_of_large_images_are_smaller() -> None:
    assert training._evaluation_batch((32, 32)) == training.EVALUATION_BATCH
    assert training._evaluation_batch((224, 224)) == 20
