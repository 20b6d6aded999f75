"""Width, classes, image shape → EfficientNet-Lite0: B0 without gates and with ReLU6, which quantize well.

After github.com/tensorflow/tpu, models/official/efficientnet/lite.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models.efficientnet import MBConv
from torchvision.ops import Conv2dNormActivation

from explorer.models import channels
from explorer.models._efficientnet import efficientnet

STEM, HEAD = 32, 1280


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; above width 1 its ends keep their channels, as in Lite1 to Lite4."""
    ends = channels(STEM, min(1.0, width)), channels(HEAD, min(1.0, width))
    network = efficientnet(width, classes, shape, partial(MBConv, se_layer=nn.Identity), ends)
    for module in network.modules():
        if isinstance(module, Conv2dNormActivation) and isinstance(module[-1], nn.SiLU):
            module[-1] = nn.ReLU6(inplace=True)
    return network
