"""Width, classes, image shape → torchvision's EfficientNet-B0 (Tan and Le, arXiv 1905.11946) fitted to the image."""

from __future__ import annotations

from torch import nn

from explorer.models._efficientnet import efficientnet

# EfficientNet_B0_Weights.IMAGENET1K_V1
PRETRAINED = "https://download.pytorch.org/models/efficientnet_b0_rwightman-7f5810bc.pth"
PRETRAINED_INPUT = {"crop": 0.875, "interpolation": "bicubic"}


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; the gates' squeezed channels are a quarter of their block's input."""
    return efficientnet(width, classes, shape)
