"""Arrays of images as data sets of the users' own hold them → 8-bit pixels, (N, C, H, W), or why they are not clear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import StageFailed
from explorer.datasets import CHUNK, Pixels, unusable

Array = NDArray[Any]

PIXELS = (
    "images must be pixels from 0 to 255 of dtype uint8, or floats from 0 to 1 or from 0 to 255, of shape "
    "(N, channels, height, width)"
)
COLOURS = (1, 3, 4)  # channels of grey images, and of colour ones without and with alpha
LEAST_SIDE = 8  # of an image whose sides differ; a shorter axis may as well be one of channels
WHITE = 255
HALF = 127  # floats that are no whole numbers, and all darker than this, may be of another scale
ROUNDING = 1e-6  # of a float that is 1


def as_pixels(name: str, given: Mapping[str, object]) -> dict[str, Pixels]:
    """Return the arrays of data set `name`, split → images, as pixels.

    Arrays of one dtype have one scale, which all of them decide together.

    Raises
    ------
    StageFailed
        If it is not clear what their axes or values mean.
    """
    arrays = {split: _channels_first(name, split, _array(name, split, images)) for split, images in given.items()}
    scales = {dtype: _scale(name, dtype, arrays) for dtype in {array.dtype for array in arrays.values()}}
    return {split: _scaled(array, scales[array.dtype]) for split, array in arrays.items()}


def _array(name: str, split: str, images: object) -> Array:
    try:
        array = np.asarray(images)
    except ValueError:  # lists of unequal length
        raise _refused(name, split, "of different shapes") from None
    if array.dtype.kind not in "buif":
        raise _refused(name, split, f"of dtype {array.dtype}")
    return array


def _channels_first(name: str, split: str, array: Array) -> Array:
    """Return images as (N, C, H, W), which may be grey without an axis of channels, or have that axis last."""
    if array.ndim == 3 and _are_sides(*array.shape[1:]):
        return array[:, np.newaxis]
    if array.ndim != 4:
        raise _refused(name, split, f"of shape {array.shape}")
    _, first, second, last = array.shape
    if first in COLOURS or last not in COLOURS:
        return array
    if (last == 1 and first != second) or not _are_sides(first, second):  # perhaps signals, with channels first
        raise _refused(name, split, f"of shape {array.shape}, whose channels seem to be last")
    return array.transpose(0, 3, 1, 2)


def _are_sides(height: int, width: int) -> bool:
    return height == width or min(height, width) >= LEAST_SIDE


class _Range(NamedTuple):
    least: float
    most: float
    whole: bool


def _scale(name: str, dtype: np.dtype[Any], arrays: Mapping[str, Array]) -> float:
    """Return what the values of all arrays of `dtype` are multiplied by."""
    if dtype == np.uint8:
        return 1
    if dtype.kind == "b":
        return WHITE
    ranges = {split: _range(array) for split, array in arrays.items() if array.dtype == dtype and array.size}
    for split, (least, most, _) in ranges.items():
        if not 0 <= least <= most <= WHITE:
            raise _refused(name, split, f"of dtype {dtype} from {least:g} to {most:g}")
    most = max((each.most for each in ranges.values()), default=0)
    if dtype.kind == "f" and most <= 1 + ROUNDING:
        return WHITE
    if not all(each.whole for each in ranges.values()) and most <= HALF:
        raise _refused(name, next(iter(ranges)), f"of dtype {dtype} up to {most:g}")
    return 1


def _range(array: Array) -> _Range:
    whole = array.dtype.kind != "f" or all(np.array_equal(chunk, np.rint(chunk)) for chunk in _chunks(array))
    return _Range(float(array.min()), float(array.max()), whole)


def _scaled(array: Array, scale: float) -> Pixels:
    if array.dtype == np.uint8:
        return array
    pixels = np.empty(array.shape, np.uint8)
    for chunk, into in zip(_chunks(array), _chunks(pixels), strict=True):
        into[:] = np.rint(chunk * float(scale)).clip(0, WHITE)
    return pixels


def _chunks(array: Array) -> Iterator[Array]:
    return (array[start : start + CHUNK] for start in range(0, len(array), CHUNK))


def _refused(name: str, split: str, what: str) -> StageFailed:
    return unusable(f"data set {name} has {split} images {what}; {PIXELS}")
