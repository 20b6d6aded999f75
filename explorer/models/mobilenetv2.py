"""Width, classes, image shape → torchvision's MobileNetV2 (Sandler et al., arXiv 1801.04381) fitted to the image."""

from __future__ import annotations

from typing import cast

from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2

from explorer.models import CHANNEL_BLOCK, fitted

# Expansion, channels, repetitions and stride of each stage: table 2 of the paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM_STRIDE = 2
# MobileNet_V2_Weights.IMAGENET1K_V2
PRETRAINED = "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth"
PRETRAINED_INPUT = {"crop": 0.9655, "interpolation": "bilinear"}


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; below width 1 the last convolution keeps its 1280 channels, as in the paper."""
    strides = fitted((STEM_STRIDE, *(stride for *_, stride in STAGES)), min(shape[1:]))
    stages = [[*stage[:3], stride] for stage, stride in zip(STAGES, strides[1:], strict=True)]
    network = MobileNetV2(classes, width, stages, round_nearest=CHANNEL_BLOCK)
    stem = nn.Conv2d(shape[0], network.features[0].out_channels, 3, strides[0], 1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    network.features[0][0] = stem
    return cast(nn.Module, network)
