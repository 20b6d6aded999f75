"""MobileNetV1: the costs of timm's, blocks of the paper, and maps that fit the image."""

from __future__ import annotations

from itertools import pairwise

import pytest

from explorer.models.mobilenetv1 import build
from tests.explorer.published import assert_costs, channels, maps


def test_full_width_costs_on_imagenet_what_timm_lists() -> None:
    assert_costs(build, 0.5687e9, 4_231_976)


@pytest.mark.parametrize(("side", "expected"), [(224, [112, 56, 28, 14, 7]), (32, [32, 16, 8, 4]), (8, [8, 4, 2])])
def test_small_images_keep_their_resolution_longer(side: int, expected: list[int]) -> None:
    assert maps(build, side) == expected


def test_width_multiplies_the_channels_of_the_papers_table() -> None:
    outputs = [16, 32, 64, 64, 128, 128, *[256] * 6, 512, 512]  # of the stem and of every block
    convolutions = [each for own in pairwise(outputs) for each in own]
    assert channels(build, 0.5) == [16, *convolutions]
