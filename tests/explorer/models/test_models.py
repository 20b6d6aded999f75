"""Channel counts in whole vectors, strides that leave a map to classify, and models of any width and image."""

from __future__ import annotations

import pytest
import torch

from explorer import models
from explorer.core import plugins


@pytest.mark.parametrize(
    ("base", "width", "expected"), [(64, 1.0, 64), (64, 0.25, 16), (64, 0.1, 8), (320, 0.35, 112), (3, 1.0, 8)]
)
def test_channels_are_multiples_of_8(base: int, width: float, expected: int) -> None:
    assert models.channels(base, width) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (224, [2, 1, 2, 2, 2, 2]),
        (64, [1, 1, 2, 2, 2, 2]),
        (32, [1, 1, 1, 2, 2, 2]),  # as in the CIFAR variants
        (28, [1, 1, 1, 2, 2, 2]),
        (8, [1, 1, 1, 1, 2, 2]),
        (12, [1, 1, 1, 1, 2, 2]),
        (4, [1, 1, 1, 1, 1, 2]),
        (1, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_small_images_lose_the_earliest_strides(image: int, expected: list[int]) -> None:
    assert models.fitted([2, 1, 2, 2, 2, 2], image) == expected


@pytest.mark.parametrize("name", plugins.names("model"))
@pytest.mark.parametrize(("width", "shape"), [(0.01, (1, 1, 1)), (1.7, (2, 4, 9)), (0.01, (3, 65, 97))])
def test_any_width_and_image_will_do(name: str, width: float, shape: tuple[int, int, int]) -> None:
    with torch.device("meta"), torch.no_grad():
        model = models.builder(name)(width, 7, shape).eval()
        assert model(torch.empty(2, *shape)).shape == (2, 7)
