"""Width, classes, image shape → ResNet-50 (He et al., arXiv 1512.03385) out of torchvision's blocks."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import Bottleneck

from explorer.models._resnet import resnet

# ResNet50_Weights.IMAGENET1K_V2
PRETRAINED = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
PRETRAINED_INPUT = {"crop": 0.9655, "interpolation": "bilinear"}


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; up to 64 px the stem is that of the paper's CIFAR variant."""
    return resnet(Bottleneck, (3, 4, 6, 3), width, classes, shape)
