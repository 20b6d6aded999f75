"""Width, classes, image shape → VGG-16 with batch norms (Simonyan and Zisserman, arXiv 1409.1556) fitted to the image.

Out of torchvision's layers, its parameters named as torchvision names them.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from torchvision.models.vgg import make_layers

from explorer.models import SMALL_IMAGE, channels

# Channels and convolutions of each stage: configuration D of the paper's table 1. A max-pool of stride 2 ends a stage.
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
HIDDEN = 4096
# VGG16_BN_Weights.IMAGENET1K_V1
PRETRAINED = "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth"
PRETRAINED_INPUT = {"crop": 0.875, "interpolation": "bilinear"}


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; `width` multiplies the hidden linear layers' channels, too.

    Up to 64 px the last map is averaged and classified by one linear layer, as is usual for CIFAR; images below 32 px
    skip the first max-pools, so that at least a pixel is left. Above, the paper's three linear layers see the whole of
    the last map, 7x7 at 224 px.
    """
    pools = min(len(STAGES), min(shape[1:]).bit_length() - 1)
    plan: list[int | str] = []
    for stage, (base, convolutions) in enumerate(STAGES, 1):
        plan += [channels(base, width)] * convolutions + ["M"] * (stage > len(STAGES) - pools)
    outputs, hidden = channels(STAGES[-1][0], width), channels(HIDDEN, width)
    features = make_layers(plan, batch_norm=True)
    features[0] = nn.Conv2d(shape[0], features[0].out_channels, 3, padding=1)
    layers: OrderedDict[str, nn.Module] = OrderedDict(features=features)
    if min(shape[1:]) <= SMALL_IMAGE:
        layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        layers["classifier"] = nn.Linear(outputs, classes)
    else:
        seen = outputs * (shape[1] >> pools) * (shape[2] >> pools)
        layers |= {"flatten": nn.Flatten(), "classifier": _classifier(seen, hidden, classes)}
    network = nn.Sequential(layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return network


def _classifier(inputs: int, hidden: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(hidden, classes),
    )
