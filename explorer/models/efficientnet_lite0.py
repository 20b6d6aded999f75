"""Width, classes, image shape → EfficientNet-Lite0: B0 without gates and with ReLU6, which quantize well.

After github.com/tensorflow/tpu, models/official/efficientnet/lite: it pads as TensorFlow does, and published weights
classify worse under any other padding.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models.efficientnet import MBConv
from torchvision.ops import Conv2dNormActivation

from explorer.models import channels
from explorer.models._efficientnet import efficientnet

VERSION = 2
STEM, HEAD = 32, 1280
EPSILON = 1e-3  # of batch norms


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; above width 1 its ends keep their channels, as in Lite1 to Lite4."""
    ends = channels(STEM, min(1.0, width)), channels(HEAD, min(1.0, width))
    network = efficientnet(width, classes, shape, partial(MBConv, se_layer=nn.Identity), ends)
    sides = shape[1:]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = EPSILON
        elif isinstance(module, Conv2dNormActivation):
            if isinstance(module[-1], nn.SiLU):
                module[-1] = nn.ReLU6(inplace=True)
            sides = _pad_at_the_end(module, sides)
    return network


def _pad_at_the_end(layer: nn.Sequential, sides: tuple[int, int]) -> tuple[int, int]:
    """Make a convolution pad as little as its output needs, an odd pixel at the end; return its output's sides.

    That is TensorFlow's padding SAME. It differs from torchvision's where a stride divides an even side. The other
    layers keep their names, since checkpoints have those.
    """
    convolution = layer[0]
    assert isinstance(convolution, nn.Conv2d), "with which torchvision's layers begin"
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    outputs = -(-sides[0] // stride), -(-sides[1] // stride)
    both = [max(0, (out - 1) * stride + kernel - side) for out, side in zip(outputs, sides, strict=True)]
    if any(padding != 2 * (kernel // 2) for padding in both):
        convolution.padding = (0, 0)
        (top, bottom), (left, right) = ((padding // 2, padding - padding // 2) for padding in both)
        own = dict(layer.named_children())
        for name in own:
            delattr(layer, name)
        for name, module in {"pad": nn.ZeroPad2d((left, right, top, bottom)), **own}.items():
            layer.add_module(name, module)
    return outputs
