"""Width, classes, image shape → ResNet-18 (He et al., arXiv 1512.03385) out of torchvision's blocks."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock

from explorer.models._resnet import resnet

# ResNet18_Weights.IMAGENET1K_V1
PRETRAINED = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
PRETRAINED_INPUT = {"crop": 0.875, "interpolation": "bilinear"}


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; up to 64 px the stem is that of the paper's CIFAR variant."""
    return resnet(BasicBlock, (2, 2, 2, 2), width, classes, shape)
