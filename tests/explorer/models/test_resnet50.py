"""ResNet-50: costs, names and outputs of torchvision's, and maps that fit the image."""

from __future__ import annotations

import pytest
import torchvision

from explorer.models.resnet50 import build
from tests.explorer.published import CIFAR, assert_computes_alike, assert_costs, assert_named_alike, channels, maps


def test_full_width_costs_on_imagenet_what_torchvision_lists() -> None:
    assert_costs(build, 4.089e9, 25_557_032)


def test_parameters_are_named_as_torchvision_names_them() -> None:
    assert_named_alike(build, torchvision.models.resnet50)


def test_with_torchvisions_parameters_outputs_are_torchvisions() -> None:
    assert_computes_alike(build, torchvision.models.resnet50)


def test_full_width_costs_on_cifar_what_its_variant_does() -> None:
    """The variant of github.com/kuangliu/pytorch-cifar."""
    assert_costs(build, 1.2978e9, 23_520_842, 10, CIFAR)


@pytest.mark.parametrize(("side", "expected"), [(224, [112, 56, 28, 14, 7]), (32, [32, 16, 8, 4]), (8, [8, 4, 2])])
def test_small_images_keep_their_resolution_longer(side: int, expected: list[int]) -> None:
    assert maps(build, side) == expected


def test_width_multiplies_all_channels() -> None:
    full, half = channels(build, 1.0), channels(build, 0.5)
    assert [2 * own for own in half] == full
    assert (full[0], full[-1]) == (64, 2048)
