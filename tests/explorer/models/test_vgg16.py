"""VGG-16: costs and names of torchvision's, and a classifier and max-pools that fit the image."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from explorer.models.vgg16 import build
from tests.explorer.published import CIFAR, assert_costs, assert_named_alike, channels, maps


def test_full_width_costs_on_imagenet_what_torchvision_lists() -> None:
    assert_costs(build, 15.470e9, 138_365_992)


def test_parameters_are_named_as_torchvision_names_them() -> None:
    assert_named_alike(build, torchvision.models.vgg16_bn)


def test_full_width_costs_on_cifar_what_its_variant_does() -> None:
    """The variant of github.com/kuangliu/pytorch-cifar."""
    assert_costs(build, 0.3132e9, 14_728_266, 10, CIFAR)


@pytest.mark.parametrize(
    ("side", "expected"), [(224, [224, 112, 56, 28, 14, 7]), (32, [32, 16, 8, 4, 2, 1]), (8, [8, 4, 2, 1])]
)
def test_pools_are_left_out_until_a_pixel_is_left(side: int, expected: list[int]) -> None:
    assert maps(build, side) == expected


@pytest.mark.parametrize(
    ("side", "width", "expected"), [(224, 1.0, [25088, 4096, 4096]), (96, 0.5, [2304, 2048, 2048]), (64, 0.5, [256])]
)
def test_large_images_are_classified_by_three_linear_layers_that_see_the_whole_map(
    side: int, width: float, expected: list[int]
) -> None:
    with torch.device("meta"):
        model = build(width, 10, (3, side, side))
    assert [module.in_features for module in model.modules() if isinstance(module, nn.Linear)] == expected


def test_width_multiplies_all_channels() -> None:
    assert channels(build, 0.5) == [32] * 2 + [64] * 2 + [128] * 3 + [256] * 6
