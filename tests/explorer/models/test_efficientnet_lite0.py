"""EfficientNet-Lite0: the costs of timm's, no gates, ReLU6, and ends that keep their channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.ops import SqueezeExcitation

from explorer.models.efficientnet_lite0 import build
from tests.explorer.published import CIFAR, assert_costs, channels, maps


def test_full_width_costs_on_imagenet_what_timm_lists() -> None:
    assert_costs(build, 0.3852e9, 4_652_008)


@pytest.mark.parametrize(("side", "expected"), [(224, [112, 56, 28, 14, 7]), (32, [32, 16, 8, 4]), (8, [8, 4, 2])])
def test_small_images_keep_their_resolution_longer(side: int, expected: list[int]) -> None:
    assert maps(build, side) == expected


def test_only_below_width_1_its_ends_follow_the_width() -> None:
    wide, narrow = channels(build, 1.4), channels(build, 0.5)
    assert (wide[0], wide[-1]) == (32, 1280)
    assert (narrow[0], narrow[-1]) == (16, 640)


def test_it_has_neither_gates_nor_sigmoids() -> None:
    with torch.device("meta"):
        modules = [*build(1.0, 10, CIFAR).modules()]
    assert not [module for module in modules if isinstance(module, SqueezeExcitation | nn.SiLU | nn.Sigmoid)]
    assert sum(isinstance(module, nn.ReLU6) for module in modules) == 33, "one after each convolution but projections"
