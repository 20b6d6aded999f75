"""Width, classes, image shape → ResNet-18 (He et al., arXiv 1512.03385) out of torchvision's basic blocks."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock

from explorer.models import SMALL_IMAGE, channels, fitted

STAGES = (64, 128, 256, 512)
STRIDES = (2, 1, 2, 2, 2)  # of the stem and the four stages


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network from (N, C, H, W) to (N, classes).

    Parameters
    ----------
    width
        Multiplier of all channel counts; torchvision's own takes none for basic blocks.
    shape
        Channels, height and width of an image. Up to 64 px, the 7x7 stem of stride 2 and its max-pool give way to a
        3x3 stem of stride 1, as in section 4.2 of the paper.
    """
    small = min(shape[1:]) <= SMALL_IMAGE
    strides = fitted(STRIDES, min(shape[1:]))
    inputs = channels(STAGES[0], width)
    kernel = 3 if small else 7
    layers: list[nn.Module] = [
        nn.Conv2d(shape[0], inputs, kernel, strides[0], kernel // 2, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
    ]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, 1))
    for base, stride in zip(STAGES, strides[1:], strict=True):
        outputs = channels(base, width)
        layers += [_block(inputs, outputs, stride), _block(outputs, outputs, 1)]
        inputs = outputs
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _block(inputs: int, outputs: int, stride: int) -> BasicBlock:
    if stride == 1 and inputs == outputs:
        return BasicBlock(inputs, outputs)
    projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return BasicBlock(inputs, outputs, stride, projection)
