"""``[data] resize``, ``crop`` and ``interpolation`` → the middle square of images, as timm and torchvision cut it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from explorer.datasets import Held, Images, Options, Pixels, unusable

DEFAULT = "bilinear"
ROUNDING = 1e-6  # 224 / (224 / 232) is 232, whatever the floats say


@dataclass(frozen=True)
class Geometry:
    """How an image of any size becomes a square.

    Parameters
    ----------
    size
        Side in pixels of the square that is cut from the middle.
    resize
        Length in pixels that the shorter side is scaled to before; at least `size`.
    interpolation
        Name of one of Pillow's filters; all average over what a pixel of a smaller image covers.
    """

    size: int
    resize: int
    interpolation: str = DEFAULT

    def squared(self, image: Image.Image) -> Image.Image:
        """Return the middle square of `image`: what torchvision's ``Resize`` and ``CenterCrop`` leave of it."""
        short, long = sorted(image.size)
        longer = int(self.resize * long / short)
        wanted = (self.resize, longer) if image.width <= image.height else (longer, self.resize)
        if wanted != image.size:
            image = image.resize(wanted, Image.Resampling[self.interpolation.upper()])
        left, top = (round((side - self.size) / 2) for side in image.size)
        return image.crop((left, top, left + self.size, top + self.size))


def of_files(options: Options) -> Geometry | None:
    """Return how image files are brought to ``image_size``; None if ``[data]`` says nothing of it.

    One of ``resize`` and ``crop`` follows from the other: timm's images of 224 px with a crop of 0.875 are scaled to
    ``floor(224 / 0.875)`` px.

    Raises
    ------
    StageFailed
        If the settings contradict each other.
    """
    size, resize, crop = options.image_size, options.resize, options.crop
    if (resize, crop, options.interpolation) == (None, None, None):
        return None
    if resize is not None and resize < size:
        raise unusable(f"[data] resize = {resize} leaves no square of image_size = {size}; allowed: {size} and more")
    if resize is not None and crop is not None and not size - 1 < resize * crop < size + 1:
        raise unusable(
            f"[data] resize = {resize} and crop = {crop:g} cut squares of {resize * crop:.0f} px, and image_size = "
            f"{size}; give one of resize and crop"
        )
    whole = resize or math.floor(size / (crop or 1) + ROUNDING)
    return Geometry(size, whole, options.interpolation or DEFAULT)


def reshaped(images: Images, options: Options) -> Images:
    """Return images that lie in memory scaled to ``resize`` and cut to ``crop`` of it; as they are if neither is given.

    Raises
    ------
    StageFailed
        If an image has neither one nor three channels, which Pillow does not scale.
    """
    if options.resize is None and options.crop is None:
        return images
    channels, *sides = images.shape
    whole = options.resize or min(sides)
    geometry = Geometry(max(1, round(whole * (options.crop or 1))), whole, options.interpolation or DEFAULT)
    if channels not in (1, 3):
        raise unusable(f"[data] resize and crop take images of 1 or 3 channels, and these have {channels}")
    array = np.empty((len(images), channels, geometry.size, geometry.size), np.uint8)
    for index in range(len(images)):
        array[index] = _squared(images.pixels(np.array([index]))[0], geometry)
    return Held(array, images.labels)


def _squared(pixels: Pixels, geometry: Geometry) -> Pixels:
    """Return an image, uint8, shape (C, H, W), after `geometry`."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    found = np.asarray(geometry.squared(image))
    return found[np.newaxis] if found.ndim == 2 else found.transpose(2, 0, 1)
