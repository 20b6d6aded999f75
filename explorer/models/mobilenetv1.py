"""Width, classes, image shape → MobileNetV1 (Howard et al., arXiv 1704.04861) fitted to the image.

Out of torchvision's convolutions with batch norm; ReLU6 as in the authors' implementation.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.ops import Conv2dNormActivation

from explorer.models import channels, fitted

STEM = 32
# Output channels and stride of each depthwise separable convolution: table 1 of the paper.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
STEM_STRIDE = 2


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network."""
    convolution = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
    strides = fitted((STEM_STRIDE, *(stride for _, stride in BLOCKS)), min(shape[1:]))
    inputs = channels(STEM, width)
    layers: list[nn.Module] = [convolution(shape[0], inputs, 3, strides[0])]
    for (base, _), stride in zip(BLOCKS, strides[1:], strict=True):
        outputs = channels(base, width)
        layers += [convolution(inputs, inputs, 3, stride, groups=inputs), convolution(inputs, outputs, 1)]
        inputs = outputs
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return network
