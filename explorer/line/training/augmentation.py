"""Training images and the names of augmentations → the images varied at random, 8-bit as before, by torch's seed.

Random numbers are drawn on the CPU and taken to where the images are: equal seeds vary them equally on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

AREA = (0.35, 1.0)  # of the region that `resized_crop` enlarges, as a share of the image
ASPECT = 4 / 3  # its sides differ by this ratio at most


def augmented(pixels: Tensor, names: Sequence[str]) -> Tensor:
    """Return `pixels`, uint8, (N, C, H, W), after the named augmentations in their order."""
    for name in names:
        pixels = AUGMENTATIONS[name](pixels)
    return pixels


def shifted(pixels: Tensor) -> Tensor:
    """Move each image by up to an eighth of its side, its border stretched."""
    _, _, height, width = pixels.shape
    margin = _margin(pixels)
    down, right = _offsets(pixels, margin)
    rows = (down[:, None] + _range(height, pixels) - margin).clamp(0, height - 1)
    columns = (right[:, None] + _range(width, pixels) - margin).clamp(0, width - 1)
    return _gathered(pixels, rows, columns)


def cropped(pixels: Tensor) -> Tensor:
    """Surround each image with an eighth of its side in black and cut its size out of that."""
    _, _, height, width = pixels.shape
    margin = _margin(pixels)
    down, right = _offsets(pixels, margin)
    padded = F.pad(pixels, (margin,) * 4)
    return _gathered(padded, down[:, None] + _range(height, pixels), right[:, None] + _range(width, pixels))


def flipped(pixels: Tensor) -> Tensor:
    """Mirror half of the images, left to right."""
    mirrored = (torch.rand(len(pixels)) < 0.5).to(pixels.device)
    return torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)


def resized_crop(pixels: Tensor) -> Tensor:
    """Enlarge a region of each image to the whole (Szegedy et al., arXiv 1409.4842; regions are inside the image)."""
    count = len(pixels)
    area = torch.empty(count).uniform_(*AREA)
    stretch = torch.empty(count).uniform_(-1, 1).mul(torch.log(torch.tensor(ASPECT)) / 2).exp()
    sides = torch.stack([area.sqrt() * stretch, area.sqrt() / stretch], 1).clamp(max=1)
    middles = (torch.rand(count, 2) * 2 - 1) * (1 - sides)  # in [-1, 1], from the one border to the other
    regions = torch.cat([torch.diag_embed(sides), middles[:, :, None]], 2)
    grid = F.affine_grid(regions.to(pixels.device), list(pixels.shape), align_corners=False)
    enlarged = F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    return enlarged.round().to(torch.uint8)


def _margin(pixels: Tensor) -> int:
    return max(1, min(pixels.shape[2:]) // 8)


def _offsets(pixels: Tensor, margin: int) -> Tensor:
    """Return two random numbers from 0 to twice `margin` for each image, shape (2, N)."""
    return torch.randint(0, 2 * margin + 1, (2, len(pixels))).to(pixels.device)


def _range(count: int, pixels: Tensor) -> Tensor:
    return torch.arange(count, device=pixels.device)


def _gathered(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return of each image the given rows, (N, H), and columns, (N, W)."""
    count, channels = pixels.shape[:2]
    image, channel = _range(count, pixels)[:, None, None, None], _range(channels, pixels)[:, None, None]
    return pixels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


AUGMENTATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "crop": cropped,
    "flip": flipped,
    "resized_crop": resized_crop,
    "shift": shifted,
}
