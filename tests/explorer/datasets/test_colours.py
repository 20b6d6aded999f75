"""Image files of every kind → their colours in 8 bits, upright and over white; others are named."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from explorer.core.errors import StageFailed
from explorer.datasets._files import decoded
from tests.data_sets import tiff

SIDE = 16
HALF = SIDE // 2
GREY, RED, WHITE = (128, 128, 128), (255, 0, 0), (255, 255, 255)

Write = Callable[[Path], object]
Colour = tuple[int, int, int]


def flat(mode: str, colour: Any, **options: Any) -> Write:
    return lambda path: Image.new(mode, (SIDE, SIDE), colour).save(path, **options)


FLAT: dict[str, tuple[Write, Colour]] = {
    "16.png": (flat("I;16", 128 * 257), GREY),
    "dark 16.png": (flat("I;16", 3 * 257), (3, 3, 3)),
    "16.tif": (tiff(128 * 257, "uint16"), GREY),
    "16.pgm": (flat("I;16", 128 * 257), GREY),
    "signed 16.tif": (tiff(128, "int16"), GREY),
    "32.tif": (tiff(0x80808080, "uint32"), GREY),
    "signed 32.tif": (tiff(0x00808080, "int32"), GREY),
    "float.tif": (tiff(0.5, "float32"), GREY),
    "white float.tif": (tiff(1, "float32"), WHITE),
    "negative 8.tif": (tiff(127, "uint8", photometric=0), GREY),
    "negative 16.tif": (tiff(127 * 257, "uint16", photometric=0), GREY),
    "negative float.tif": (tiff(0.25, "float32", photometric=0), (191, 191, 191)),
    "1.png": (flat("1", 1), WHITE),
    "grey.jpg": (flat("L", 128), GREY),
    "cmyk.jpg": (flat("CMYK", (0, 255, 255, 0), quality=100), RED),
    "cmyk.tif": (flat("CMYK", (0, 255, 255, 0)), RED),
    "palette.gif": (flat("RGB", RED), RED),
    "lossless.webp": (flat("RGB", RED, lossless=True), RED),
    "colours.ppm": (flat("RGB", RED), RED),
    "colours.tga": (flat("RGB", RED), RED),
}


def test_values_of_every_type_become_8_bits(tmp_path: Path) -> None:
    for name, (write, shown) in FLAT.items():
        write(tmp_path / name)
        pixels = decoded(tmp_path / name, SIDE)
        assert pixels is not None, name
        assert np.abs(pixels - np.reshape(shown, (3, 1, 1)).astype(int)).max() <= 1, name


def half_clear(mode: str) -> Image.Image:
    """Return red, or grey in modes without colours, that is black and transparent on its left half."""
    image = Image.new("RGBA", (SIDE, SIDE), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, HALF, SIDE))
    return image.convert(mode)


def keyed(colour: Any, key: Any, dtype: str = "uint8") -> Write:
    """Return a function that writes an image with a key colour, which is transparent, in its left half."""
    array = np.empty((SIDE, SIDE, *np.shape(colour)), dtype)
    array[:, :HALF], array[:, HALF:] = key, colour
    return lambda path: Image.fromarray(array).save(path, transparency=key)


def wide_key(path: Path) -> None:
    """Write a PNG of 16 bits for each colour, which Pillow cannot, with a key colour in its left half."""
    key = struct.pack(">3H", 0x0102, 0x0304, 0x0506)
    row = b"\0" + key * HALF + struct.pack(">3H", 0xFFFF, 0, 0) * HALF
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    chunks = {b"IHDR": head, b"tRNS": key, b"IDAT": zlib.compress(row * SIDE), b"IEND": b""}
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks.items():
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(content)


CLEAR: dict[str, tuple[Write, Colour]] = {
    "colours.png": (half_clear("RGBA").save, RED),
    "colours.tif": (half_clear("RGBA").save, RED),
    "colours.webp": (lambda path: half_clear("RGBA").save(path, lossless=True), RED),
    "grey.png": (half_clear("LA").save, (76, 76, 76)),  # red's luminance, ITU-R BT.601
    "palette.png": (half_clear("P").save, RED),
    "palette.gif": (half_clear("RGBA").save, RED),
    "key.png": (keyed(RED, (1, 2, 3)), RED),
    "grey key.png": (keyed(128, 7), GREY),
    "48 key.png": (wide_key, RED),
    "16 key.png": (keyed(128 * 257, 700, "uint16"), GREY),
}


def test_what_is_transparent_shows_white(tmp_path: Path) -> None:
    for name, (write, shown) in CLEAR.items():
        write(tmp_path / name)
        pixels = decoded(tmp_path / name, SIDE)
        assert pixels is not None, name
        assert (pixels[:, :, :HALF] == 255).all(), name
        assert np.abs(pixels[:, :, HALF:] - np.reshape(shown, (3, 1, 1)).astype(int)).max() <= 1, name


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_an_image_is_turned_as_its_exif_data_say(suffix: str, tmp_path: Path) -> None:
    """As a camera that is held upright writes it: the top is at the right of what is stored."""
    upright = np.zeros((SIDE, SIDE), np.uint8)
    upright[:HALF], upright[HALF:, :HALF] = 240, 100
    turned = {1: upright, 3: np.rot90(upright, 2), 6: np.rot90(upright), 8: np.rot90(upright, 3), 2: upright[:, ::-1]}
    for orientation, stored in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}{suffix}"
        Image.fromarray(np.ascontiguousarray(stored)).convert("RGB").save(path, exif=exif, quality=95)
        pixels = decoded(path, SIDE)
        assert pixels is not None
        assert np.abs(pixels - upright.astype(int)).max() < 30, orientation


def test_a_file_that_is_no_whole_image_is_none(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for suffix in (".png", ".jpg", ".tif", ".gif", ".bmp"):
        Image.fromarray(noise).save(tmp_path / f"whole{suffix}")
        content = (tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"half{suffix}").write_bytes(content[: len(content) // 2])
        assert decoded(tmp_path / f"whole{suffix}", SIDE) is not None
        assert decoded(tmp_path / f"half{suffix}", SIDE) is None, suffix
    damaged: NDArray[np.uint8] | None = decoded(tmp_path / "gone.png", SIDE)
    assert damaged is None


@pytest.mark.parametrize(("value", "said"), [(-0.5, "-0.5 to -0.5"), (200.0, "200 to 200"), (np.nan, "nan to nan")])
def test_floats_of_another_scale_are_told_with_the_file(value: float, said: str, tmp_path: Path) -> None:
    tiff(value, "float32")(tmp_path / "depth.tif")
    with pytest.raises(StageFailed) as failed:
        decoded(tmp_path / "depth.tif", SIDE)
    expected = f"{tmp_path}/depth.tif holds floats from {said}; those of an image must lie from 0 to 1"
    assert failed.value.failure.message == expected
