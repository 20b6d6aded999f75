"""A model, a data set and a compression as a user would bring them: ``tests.custom_plugins:function``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from explorer.compression import FineTune
from explorer.datasets import Held, Options, Splits, stratified


def stripes(options: Options) -> Splits:
    """Horizontal against vertical stripes under noise: 12x10 px, 2 channels, 2 classes."""
    random = np.random.default_rng(options.seed)
    labels = np.arange(200) % 2
    rows, columns = np.mgrid[:12, :10] % 2
    pixels = np.where(labels[:, None, None, None] == 0, rows, columns) + random.normal(0, 0.1, (200, 2, 12, 10))
    array = (100 + 100 * pixels).clip(0, 255).astype(np.uint8)
    rest, held = stratified(Held(array, labels.astype(np.int64)), options.test, options.seed)
    return Splits(*stratified(rest, options.validation, options.seed), held, ("horizontal", "vertical"))


class Branching(nn.Module):
    """A network that fx cannot trace: it looks at a value to decide which way to go."""

    def __init__(self, width: float, classes: int, inputs: int) -> None:
        super().__init__()
        hidden = max(8, int(32 * width))
        self.features = nn.Sequential(nn.Conv2d(inputs, hidden, 3), nn.BatchNorm2d(hidden), nn.ReLU())
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, image: Tensor) -> Tensor:
        if len(image) and image.shape[2] < 3:
            raise ValueError("three rows at least")
        features: Tensor = self.features(image)
        logits: Tensor = self.classifier(features.amax((2, 3)))
        return logits


def branching(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return Branching(width, classes, shape[0])


class Small(nn.Module):
    """A network with a layer of each kind, and fewer convolutions than any bundled model."""

    def __init__(self, width: float, classes: int, inputs: int) -> None:
        super().__init__()
        channels = 8 * max(1, round(8 * width))
        self.stem = nn.Sequential(nn.Conv2d(inputs, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.expand = nn.Sequential(nn.Conv2d(8, channels, 1), nn.ReLU())
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.project = nn.Conv2d(channels, 8, 1)
        self.down = nn.Sequential(nn.Conv2d(8, 2 * channels, 3, stride=2, padding=1), nn.ReLU())
        self.classifier = nn.Linear(2 * channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        found = self.stem(image)
        found = found + self.project(self.depthwise(self.expand(found)))
        logits: Tensor = self.classifier(self.down(found).mean((2, 3)))
        return logits


def small(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return Small(width, classes, shape[0])


def stacked(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return a network whose weights are nearly all those of dense convolutions."""
    channels = 8 * max(1, round(8 * width))
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((shape[0], channels, 1), (channels, channels, 2), (channels, 2 * channels, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * channels, classes))


class Blind(Small):
    """A network that sees no more of an image than how bright it is."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image * 0.0 + image.mean((2, 3), keepdim=True))


def blind(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return Blind(width, classes, shape[0])


def halving(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return a network whose convolutions are all of stride 2."""
    layers = [nn.Conv2d(shape[0], 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, classes))


class Sliced(Branching):
    """A network whose dependency graph torch-pruning gets wrong: it takes the batch's slice for one of channels."""

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(image).amax((2, 3))[: len(image)])
        return logits


def sliced(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return Sliced(width, classes, shape[0])


def two_outputs_too_many(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return Branching(width, classes + 2, shape[0])


def needs_large_images(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.Conv2d(shape[0], 8, 11), nn.Flatten(), nn.LazyLinear(classes))


def halve_magnitudes(model: nn.Module, ratio: float, example: Tensor, fine_tune: FineTune) -> nn.Module:
    """Scale the last layer, which changes every logit and no prediction."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(0.5)
        last.bias.mul_(0.5)
    return model


def one_channel_black(options: Options) -> Splits:
    """Stripes whose second channel is 0 everywhere."""
    splits = stripes(options)
    for images in (splits.train, splits.validation, splits.test):
        assert isinstance(images, Held)
        images.array[:, 1] = 0
    return splits


def horizontal_tests(options: Options) -> Splits:
    """Stripes whose test images are all horizontal."""
    splits = stripes(options)
    return replace(splits, test=splits.test.part(np.flatnonzero(splits.test.labels == 0)))
