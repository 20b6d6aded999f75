"""An opened image of any kind that Pillow reads → the image in 8-bit colours, upright and without transparency."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from explorer.datasets import unusable

WHITE = 255
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF 6.0
WHITE_IS_ZERO, SIGNED = 0, 2  # values of the second and the third


def coloured(image: Image.Image) -> Image.Image:
    """Return `image` in mode ``RGB``.

    It is turned as its EXIF data say, and what is transparent shows white. Values of 16 and 32 bits are scaled by the
    whole range of their type, floats from 0 to 1.

    Raises
    ------
    StageFailed
        If it holds floats beyond that.
    OSError, ValueError
        If the file is damaged, or of colours that Pillow does not convert.
    """
    image.load()
    with contextlib.suppress(Exception):  # EXIF data that are damaged turn nothing; Pillow raises errors of any kind
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _in_8_bits(image)
    key = image.info.get("transparency")
    if isinstance(key, tuple) and max(key) > WHITE:  # of 16 bits for each colour; Pillow reads the upper ones
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Return a grey image of wider values in 8 bits; the value that is transparent becomes white."""
    values: NDArray[Any] = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        name, least, most = getattr(image, "filename", "an image"), values.min(), values.max()
        if not 0 <= least <= most <= 1:
            raise unusable(f"{name} holds floats from {least:g} to {most:g}; those of an image must lie from 0 to 1")
        low, high = 0, 1
    else:
        values, low, high = _whole(values, tags)
    # Workaround: Pillow 13: it turns negatives of 8 bits into positives, and none of 16 and 32;
    # tests/workarounds
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = low + high - values.astype(np.float64)
    scaled = np.rint((values - float(low)) * (WHITE / (high - low))).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):
        scaled[values == clear] = WHITE
    return Image.fromarray(scaled)


def _whole(values: NDArray[Any], tags: Mapping[int, Any]) -> tuple[NDArray[Any], int, int]:
    """Return whole numbers as they are in the file, and the least and the greatest of their type."""
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]  # PNG and PGM have 16 at most, which Pillow may hold in 32
    if tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED:
        return values, -(1 << bits - 1), (1 << bits - 1) - 1
    return (values.view(np.uint32) if bits == 32 else values), 0, (1 << bits) - 1
