"""Block, repetitions, width, classes, image shape → a ResNet (He et al., arXiv 1512.03385) fitted to the image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from explorer.models import SMALL_IMAGE, channels, fitted

STAGES = (64, 128, 256, 512)
STRIDES = (2, 1, 2, 2, 2)  # of the stem and the four stages


def resnet(
    block: type[BasicBlock | Bottleneck],
    repetitions: Sequence[int],
    width: float,
    classes: int,
    shape: tuple[int, int, int],
) -> nn.Module:
    """Return an untrained network with blocks repeated in each of its four stages, named as torchvision names them.

    torchvision's own takes no width for basic blocks. Up to 64 px, the 7x7 stem of stride 2 and its max-pool give way
    to a 3x3 stem of stride 1, as in section 4.2 of the paper.
    """
    small = min(shape[1:]) <= SMALL_IMAGE
    strides = fitted(STRIDES, min(shape[1:]))
    inputs = channels(STAGES[0], width)
    kernel = 3 if small else 7
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(shape[0], inputs, kernel, strides[0], kernel // 2, bias=False),
        bn1=nn.BatchNorm2d(inputs),
        relu=nn.ReLU(inplace=True),
    )
    if not small:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    for stage, (base, stride, count) in enumerate(zip(STAGES, strides[1:], repetitions, strict=True), 1):
        planes = channels(base, width)
        outputs = planes * block.expansion
        rest = [block(outputs, planes) for _ in range(count - 1)]
        layers[f"layer{stage}"] = nn.Sequential(_first(block, inputs, planes, stride), *rest)
        inputs = outputs
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(inputs, classes)}
    network = nn.Sequential(layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _first(block: type[BasicBlock | Bottleneck], inputs: int, planes: int, stride: int) -> nn.Module:
    outputs = planes * block.expansion
    projection = None
    if stride != 1 or inputs != outputs:
        projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return block(inputs, planes, stride, projection)  # type: ignore[no-any-return]
