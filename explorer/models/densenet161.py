"""Width, classes, image shape → torchvision's DenseNet-161 (Huang et al., arXiv 1608.06993) fitted to the image."""

from __future__ import annotations

from typing import cast

from torch import nn
from torchvision.models.densenet import DenseNet

from explorer.models import SMALL_IMAGE, channels, fitted

GROWTH = 48  # channels that each layer adds
BLOCKS = (6, 12, 36, 24)  # layers
STRIDES = (2, 2, 2, 2)  # of the stem and the transitions between the blocks
# DenseNet161_Weights.IMAGENET1K_V1
PRETRAINED = "https://download.pytorch.org/models/densenet161-8d451a50.pth"
PRETRAINED_INPUT = {"crop": 0.875, "interpolation": "bilinear"}


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; `width` multiplies the growth rate, and all channel counts are multiples of it.

    Up to 64 px, the 7x7 stem of stride 2 and its max-pool give way to a 3x3 stem of stride 1, as in section 3 of the
    paper, and on the smallest images the first transitions do not pool.
    """
    small = min(shape[1:]) <= SMALL_IMAGE
    strides = fitted(STRIDES, min(shape[1:]))
    growth = channels(GROWTH, width)
    network = DenseNet(growth, BLOCKS, 2 * growth, num_classes=classes)
    kernel = 3 if small else 7
    stem = nn.Conv2d(shape[0], 2 * growth, kernel, strides[0], kernel // 2, bias=False)
    nn.init.kaiming_normal_(stem.weight)
    network.features.conv0 = stem
    if small:
        network.features.pool0 = nn.Identity()
    for transition, stride in enumerate(strides[1:], 1):
        if stride == 1:
            network.features.get_submodule(f"transition{transition}").pool = nn.Identity()
    return cast(nn.Module, network)
