"""EfficientNet-B0: costs, names and outputs of torchvision's, and maps that fit the image."""

from __future__ import annotations

import pytest
import torchvision

from explorer.models.efficientnet_b0 import build
from tests.explorer.published import assert_computes_alike, assert_costs, assert_named_alike, channels, maps


def test_full_width_costs_on_imagenet_what_torchvision_lists() -> None:
    assert_costs(build, 0.3858e9, 5_288_548)


def test_parameters_are_named_as_torchvision_names_them() -> None:
    assert_named_alike(build, torchvision.models.efficientnet_b0)


def test_with_torchvisions_parameters_outputs_are_torchvisions() -> None:
    assert_computes_alike(build, torchvision.models.efficientnet_b0)


@pytest.mark.parametrize(("side", "expected"), [(224, [112, 56, 28, 14, 7]), (32, [32, 16, 8, 4]), (8, [8, 4, 2])])
def test_small_images_keep_their_resolution_longer(side: int, expected: list[int]) -> None:
    assert maps(build, side) == expected


def test_both_ends_widen() -> None:
    found = channels(build, 1.4)
    assert (found[0], found[-1]) == (48, 1792)
