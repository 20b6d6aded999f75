"""MobileViT-XXS: names and costs of timm's, and maps that fit the image."""

from __future__ import annotations

import pytest
import timm

from explorer.models.mobilevit_xxs import build
from tests.explorer.published import assert_named_alike, maps


def test_parameters_are_named_as_timm_names_them() -> None:
    assert_named_alike(build, lambda: timm.create_model("mobilevit_xxs"))


@pytest.mark.parametrize(("side", "expected"), [(224, [112, 56, 28, 14, 7]), (32, [32, 16, 8, 4]), (8, [8, 4, 2])])
def test_small_images_keep_their_resolution_longer(side: int, expected: list[int]) -> None:
    assert maps(build, side) == expected
