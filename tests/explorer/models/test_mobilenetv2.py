"""MobileNetV2: costs, names and outputs of torchvision's, and maps that fit the image."""

from __future__ import annotations

import pytest
import torchvision

from explorer.models.mobilenetv2 import build
from tests.explorer.published import assert_computes_alike, assert_costs, assert_named_alike, channels, maps


def test_full_width_costs_on_imagenet_what_torchvision_lists() -> None:
    assert_costs(build, 0.3008e9, 3_504_872)


def test_parameters_are_named_as_torchvision_names_them() -> None:
    assert_named_alike(build, torchvision.models.mobilenet_v2)


def test_with_torchvisions_parameters_outputs_are_torchvisions() -> None:
    assert_computes_alike(build, torchvision.models.mobilenet_v2)


@pytest.mark.parametrize(("side", "expected"), [(224, [112, 56, 28, 14, 7]), (32, [32, 16, 8, 4]), (8, [8, 4, 2])])
def test_small_images_keep_their_resolution_longer(side: int, expected: list[int]) -> None:
    assert maps(build, side) == expected


@pytest.mark.parametrize(("width", "stem", "head"), [(0.5, 16, 1280), (1.4, 48, 1792)])
def test_the_last_convolution_widens_and_never_narrows(width: float, stem: int, head: int) -> None:
    found = channels(build, width)
    assert (found[0], found[-1]) == (stem, head)
