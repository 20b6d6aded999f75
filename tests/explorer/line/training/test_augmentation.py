from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from explorer.core.settings import Augmentation
from explorer.line.training import augmentation
from explorer.line.training.augmentation import AUGMENTATIONS


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def dots(count: int = 500) -> Tensor:
    """Return black images of two channels with one white pixel."""
    image = torch.zeros(count, 2, 16, 8, dtype=torch.uint8)
    image[:, :, 5, 4] = 255
    return image


@pytest.mark.parametrize("name", ["shift", "crop"])
def test_shifts_and_crops_move_each_image_by_an_eighth_at_most(name: str) -> None:
    moved = AUGMENTATIONS[name](dots())
    assert (moved.shape, moved.dtype) == ((500, 2, 16, 8), torch.uint8)
    assert torch.equal(moved[:, 0], moved[:, 1])
    positions = {(int(row) - 5, int(column) - 4) for _, row, column in moved[:, 0].nonzero()}
    assert positions == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}


def test_a_shift_stretches_the_border_and_a_crop_shows_black_beyond_it() -> None:
    white = torch.full((100, 1, 8, 8), 255, dtype=torch.uint8)
    assert torch.equal(augmentation.shifted(white), white)
    cropped = augmentation.cropped(white)
    assert (cropped[:, :, 1:-1, 1:-1] == 255).all()
    assert 0.3 < (cropped[:, 0, 0, 4] == 0).float().mean() < 0.4  # moved down by one, of -1, 0 and 1


def test_half_of_the_images_are_mirrored() -> None:
    columns = augmentation.flipped(dots())[:, 0, 5].nonzero()[:, 1]
    assert set(columns.tolist()) == {3, 4}
    assert 0.4 < (columns == 3).float().mean() < 0.6


def test_a_region_is_enlarged_to_the_whole() -> None:
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).expand(200, 1, 64, 64).contiguous()
    enlarged = augmentation.resized_crop(ramp)
    assert (enlarged.shape, enlarged.dtype) == (ramp.shape, torch.uint8)
    span = (enlarged[:, 0, 0, -1].float() - enlarged[:, 0, 0, 0].float()) / (ramp[0, 0, 0, -1] - ramp[0, 0, 0, 0])
    assert 0.35**0.5 * 0.75**0.5 - 0.05 < span.min() < 0.6
    assert 0.95 < span.max() <= 1
    assert (enlarged.diff(dim=3).short() >= 0).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_seed_decides_what_becomes_of_the_images(name: str) -> None:
    pixels = torch.randint(0, 256, (20, 3, 12, 12), dtype=torch.uint8)

    def varied(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return augmentation.augmented(pixels, (name,))

    assert torch.equal(varied(1), varied(1))
    assert not torch.equal(varied(1), varied(2))


def test_the_settings_name_all_of_them() -> None:
    assert set(get_args(Augmentation)) == set(AUGMENTATIONS)


def test_augmentations_are_applied_in_order_and_none_leaves_the_images() -> None:
    pixels = dots(50)
    assert augmentation.augmented(pixels, ()) is pixels
    columns = augmentation.augmented(pixels, ("shift", "flip"))[:, 0].nonzero()[:, 2]
    assert set(columns.tolist()) == {2, 3, 4, 5}
