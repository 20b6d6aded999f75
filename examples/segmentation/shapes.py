"""Shows a task of your own whose answer is an image: a data set with masks, a small U-Net, and mIoU to judge it by.

dlas run examples/segmentation/segmentation.toml
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explorer.datasets import Held, Options, Splits, stratified

SIZE = 32
CLASSES = ("background", "disc", "square")


def drawn(options: Options) -> Splits:
    """Return 600 images of a disc and a square under noise, each with a mask: the class of every pixel."""
    random = np.random.default_rng(options.seed)
    masks = np.stack([_mask(random) for _ in range(600)])  # whole numbers, (N, height, width)
    colours = random.integers(110, 230, (len(masks), len(CLASSES), 3))
    colours[:, 0] = random.integers(30, 90, (len(masks), 3))  # a dark background
    images = np.stack([own[mask] for own, mask in zip(colours, masks, strict=True)]).transpose(0, 3, 1, 2)
    pixels = (images + random.normal(0, 20, images.shape)).clip(0, 255).astype(np.uint8)
    rest, test = stratified(Held(pixels, masks), options.test, options.seed)
    return Splits(*stratified(rest, options.validation, options.seed), test, CLASSES)


def _mask(random: np.random.Generator) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    (y, x), (top, left) = random.integers(8, SIZE - 8, 2), random.integers(2, SIZE - 12, 2)
    radius, side = random.integers(4, 8), random.integers(6, 11)
    mask: NDArray[np.uint8] = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype(np.uint8)
    mask[top : top + side, left : left + side] = 2
    return mask


def miou(predictions: NDArray[np.float32], targets: NDArray[np.uint8]) -> float:
    """Return the mean over the classes of intersection over union, for all images together.

    Parameters
    ----------
    predictions
        The network's outputs, (N, classes, height, width).
    targets
        The masks, (N, height, width).
    """
    found, shares = predictions.argmax(1), []
    for index in range(predictions.shape[1]):
        union = ((found == index) | (targets == index)).sum()
        if union:
            shares.append(((found == index) & (targets == index)).sum() / union)
    return float(np.mean(shares))


class UNet(nn.Module):
    """Convolutions that halve the image twice, transposed ones that double it again, and what was before beside it."""

    def __init__(self, width: float, classes: int, inputs: int) -> None:
        super().__init__()
        first, second, third = (max(8, round(width * channels)) for channels in (16, 32, 64))
        self.high, self.middle, self.low = _twice(inputs, first), _twice(first, second), _twice(second, third)
        self.down = nn.MaxPool2d(2)
        self.to_middle, self.to_high = nn.ConvTranspose2d(third, second, 2, 2), nn.ConvTranspose2d(second, first, 2, 2)
        self.beside_middle, self.beside_high = _twice(2 * second, second), _twice(2 * first, first)
        self.classifier = nn.Conv2d(first, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of every pixel."""
        high = self.high(image)
        middle = self.middle(self.down(high))
        low = self.low(self.down(middle))
        middle = self.beside_middle(torch.cat([self.to_middle(low), middle], 1))
        high = self.beside_high(torch.cat([self.to_high(middle), high], 1))
        logits: Tensor = self.classifier(high)
        return logits


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def unet(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network from images, (N, *shape), to logits, (N, classes, height, width)."""
    return UNet(width, classes, shape[0])
