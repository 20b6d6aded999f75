from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from explorer.core.errors import StageFailed
from explorer.datasets import Held
from explorer.line.prepared import Inputs
from explorer.line.training import predictions, training
from explorer.line.training.recipe import Recipe

RECIPE = Recipe(epochs=1, batch_size=4, learning_rate=0.1, weight_decay=0.0, seed=0)


def inputs(count: int, side: int = 2, labels: NDArray[np.int64] | None = None) -> Inputs:
    """Return white images of one channel, of class 0 unless `labels` says."""
    pixels = np.full((count, 1, side, side), 255, np.uint8)
    held = Held(pixels, np.zeros(count, np.int64) if labels is None else labels)
    return Inputs(held, np.zeros(1), np.ones(1))


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


@pytest.mark.parametrize(("groups", "kernel"), [(1, 3), (1, 1), (2, 3)])
def test_weights_are_trained_with_their_channels_last(groups: int, kernel: int) -> None:
    """A depthwise weight, and one of a single point, lie alike in both layouts; only the strides tell them apart."""
    conv = nn.Conv2d(2, 2, kernel, padding="same", groups=groups)
    images = inputs(8)
    model = nn.Sequential(nn.Conv2d(images.shape[0], 2, 1), conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    seen: list[tuple[int, ...]] = []
    conv.register_forward_pre_hook(lambda layer, _: seen.append(layer.weight.stride()))
    training.fit("train", model, images, RECIPE)
    depth = 2 // groups
    assert set(seen) == {(kernel * kernel * depth, 1, kernel * depth, depth)}


def test_running_out_of_memory_is_a_failure() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Hungry())
    with pytest.raises(StageFailed, match=r"lower \[train\] batch_size \(now 4\)") as failed:
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
    del seen[0]  # a black batch, in whose pass activations are counted
    assert {image.max().item() for image in seen} == {1.0}
    assert min(image.min().item() for image in seen) == 0, "a crop shows some of the black around the image"
    seen.clear()
    predictions.accuracy(Watching(), images)
    assert {image.min().item() for image in seen} == {1.0}


def test_label_smoothing_keeps_the_network_from_certainty() -> None:
    def certainty(smoothing: float) -> float:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        training.fit("train", model, inputs(8), replace(RECIPE, label_smoothing=smoothing), epochs=100)
        return model(torch.ones(1, 1, 2, 2)).softmax(1)[0, 0].item()  # type: ignore[no-any-return]

    assert certainty(0.0) > 0.95
    assert certainty(0.4) == pytest.approx(0.8, abs=0.01)  # the target: 0.6, and half of the 0.4 that is spread


def test_a_batch_in_parts_has_the_same_mean_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (14, 1, 4, 4), np.uint8)
    images = Inputs(Held(pixels, np.arange(14) % 2), np.zeros(1), np.ones(1))
    batches: list[int] = []

    def trained() -> torch.Tensor:
        torch.manual_seed(0)
        linear = nn.Linear(16, 2)
        model = nn.Sequential(nn.Flatten(), linear)
        model.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
        training.fit("train", model, images, replace(RECIPE, batch_size=7))
        return linear.weight.detach()

    whole = trained()
    assert batches[1:] == [7, 7]
    monkeypatch.setattr(training, "ACTIVATION_BYTES", 3 * 16 * 4)
    batches.clear()
    assert torch.allclose(trained(), whole, rtol=1e-5, atol=1e-7)
    assert batches[1:] == [3, 2, 2] * 2


def test_parts_of_a_batch_keep_enough_images_for_batch_norm() -> None:
    gib = 1 << 30
    assert training._parts(64, gib // 1000) == 1
    assert training._parts(64, gib // 10) == math.ceil(64 / 15)
    assert training._parts(64, 8 * gib) == 32
    assert training._parts(1, gib) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_layers_compute_in_half_and_weights_stay_in_float32(dtype: torch.dtype) -> None:
    seen: set[torch.dtype] = set()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 1, 8, 8), np.uint8)
    labels = np.arange(64) % 2
    pixels[labels == 1, :, 4:] = 255
    images = Inputs(Held(pixels, labels), np.full(1, 0.5), np.full(1, 0.25), ("shift",))
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 8, 3)
    model = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
    convolution.register_forward_hook(lambda *call: seen.add(call[2].dtype))
    recipe = replace(RECIPE, batch_size=16, learning_rate=0.01)
    training.fit("train", model, images, recipe, 5, training.Device("cpu", dtype))
    assert dtype in seen
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert predictions.accuracy(model, images) > 0.95
