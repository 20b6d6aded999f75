"""Shows a task of your own whose answer is numbers: where a disc lies, and how far answers are off, which is minimised.

dlas run examples/regression/regression.toml
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from explorer.datasets import Held, Options, Splits, stratified

SIZE = 24


def discs(options: Options) -> Splits:
    """Return 800 images of a disc under noise, each with the row and the column of its middle, from 0 to 1."""
    random = np.random.default_rng(options.seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    middles = random.uniform(0.2, 0.8, (800, 2))  # floats, (N, numbers)
    away = np.stack([(rows - SIZE * y) ** 2 + (columns - SIZE * x) ** 2 for y, x in middles])
    bright = np.where(away < random.uniform(9, 25, (800, 1, 1)), 180, 60) + random.normal(0, 20, away.shape)
    images = Held(bright.clip(0, 255).astype(np.uint8)[:, np.newaxis], middles)
    rest, test = stratified(images, options.test, options.seed)
    return Splits(*stratified(rest, options.validation, options.seed), test, ("row", "column"))


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network from images, (N, *shape), to numbers, (N, classes)."""
    channels = round(16 * width)
    layers: list[nn.Module] = []
    for inputs, outputs in ((shape[0], channels), (channels, 2 * channels)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(classes))


def wing(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss: absolute errors, squared ones where they are small."""
    return F.smooth_l1_loss(outputs, targets, beta=0.05)


def pixels_off(predictions: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return for each image how many pixels lie between the disc's middle and where it is taken to be, (N,)."""
    distances: NDArray[np.float32] = SIZE * np.hypot(*(predictions - targets).T)
    return distances
