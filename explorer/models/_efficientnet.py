"""Width, classes, image shape and differences from B0 → an EfficientNet (Tan and Le, arXiv 1905.11946)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

from explorer.models import fitted

# Expansion, kernel, stride, input and output channels and repetitions of each stage: table 1 of the paper.
STAGES = (
    (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3), (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1),
)  # fmt: skip
STEM_STRIDE = 2
DROPOUT = 0.2


def efficientnet(
    width: float,
    classes: int,
    shape: tuple[int, int, int],
    block: Callable[..., nn.Module] | None = None,
    ends: tuple[int, int] | None = None,
) -> nn.Module:
    """Return an untrained network, as every model's ``build`` does.

    Parameters
    ----------
    block
        Instead of torchvision's `MBConv`.
    ends
        Channels of the stem and of the last convolution, instead of 32 and 1280 times `width`.
    """
    strides = fitted((STEM_STRIDE, *(stage[2] for stage in STAGES)), min(shape[1:]))
    stages = [
        MBConvConfig(expansion, kernel, stride, inputs, outputs, repetitions, width, block=block)
        for (expansion, kernel, _, inputs, outputs, repetitions), stride in zip(STAGES, strides[1:], strict=True)
    ]
    if ends is not None:
        stages[0].input_channels = ends[0]
    network = EfficientNet(stages, DROPOUT, num_classes=classes, last_channel=ends and ends[1])
    stem = nn.Conv2d(shape[0], stages[0].input_channels, 3, strides[0], 1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    network.features[0][0] = stem
    return cast(nn.Module, network)
