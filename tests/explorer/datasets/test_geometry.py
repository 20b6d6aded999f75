"""How images are scaled and cut: as torchvision's transforms do, which timm's are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from explorer.core.errors import StageFailed
from explorer.datasets import Held, Options
from explorer.datasets._geometry import Geometry, of_files, reshaped

SIDES = st.integers(9, 70)


@given(SIDES, SIDES, st.integers(4, 40), st.integers(0, 20), st.sampled_from(["nearest", "bilinear", "bicubic", "box"]))
def test_a_square_is_torchvisions(width: int, height: int, size: int, more: int, interpolation: str) -> None:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    image, resize = Image.fromarray(pixels), size + more
    scaled = transforms.Resize(resize, InterpolationMode(interpolation))
    expected = transforms.Compose([scaled, transforms.CenterCrop(size)])(image)
    found = Geometry(size, resize, interpolation).squared(image)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), None),
        (Options(crop=0.875), Geometry(224, 256)),
        (Options(crop=0.95), Geometry(224, 235)),
        (Options(crop=224 / 232), Geometry(224, 232)),
        (Options(resize=256), Geometry(224, 256)),
        (Options(resize=256, crop=0.875, interpolation="bicubic"), Geometry(224, 256, "bicubic")),
        (Options(image_size=32, interpolation="lanczos"), Geometry(32, 32, "lanczos")),
    ],
)
def test_what_is_not_given_follows_from_what_is(options: Options, expected: Geometry | None) -> None:
    assert of_files(options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(resize=200), "resize = 200 leaves no square of image_size = 224; allowed: 224 and more"),
        (Options(resize=256, crop=0.5), "cut squares of 128 px, and image_size = 224; give one of resize and crop"),
    ],
)
def test_settings_that_contradict_each_other_are_one_sentence(options: Options, message: str) -> None:
    with pytest.raises(StageFailed, match=message):
        of_files(options)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_memory_are_scaled_and_cut(channels: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, channels, 20, 16), np.uint8)
    images = Held(array, np.arange(5))
    assert reshaped(images, Options(image_size=64, interpolation="bicubic")) is images
    cut = reshaped(images, Options(crop=0.5))
    np.testing.assert_array_equal(cut.pixels(np.arange(5)), array[:, :, 6:14, 4:12])
    scaled = reshaped(images, Options(resize=32, crop=0.75))
    assert scaled.shape == (channels, 24, 24)
    np.testing.assert_array_equal(scaled.labels, images.labels)
    assert abs(scaled.pixels(np.arange(5)).mean() - array.mean()) < 10


def test_images_of_other_channels_are_not_scaled() -> None:
    with pytest.raises(StageFailed, match="take images of 1 or 3 channels, and these have 2"):
        reshaped(Held(np.zeros((1, 2, 8, 8), np.uint8), np.zeros(1, np.int64)), Options(resize=16))
