"""Reference outputs of a network, and how its images were normalised → sample images in 8 bits with their outputs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explorer.bundles.manifest import EXPECTED, PIXELS, InputPart, Manifest
from explorer.line.checking.batches import filled
from explorer.line.checking.reference import Reference

SAMPLES = 16  # about so many, in whole batches


class Samples(NamedTuple):
    """Images and what a network makes of them, in whole batches.

    Parameters
    ----------
    pixels
        8-bit, shape (N, C, H, W).
    expected
        Logits, shape (N, classes).
    """

    pixels: NDArray[np.uint8]
    expected: NDArray[np.float32]

    @staticmethod
    def of(reference: Reference, taken: InputPart) -> Samples:
        """Return the first images of a reference, repeated where they fill no batch, and its outputs for them."""
        batch = taken.shape[0]
        count = batch * max(1, min(-(-SAMPLES // batch), len(reference.images) // batch))
        images, expected = (filled(array, count) for array in (reference.images, reference.logits))
        factor, offset = _scale(taken)
        pixels = np.rint((images + offset) / factor).astype(np.uint8)
        assert np.array_equal(normalised(pixels, taken), images), "networks read 8-bit pixels"
        return Samples(pixels, expected.astype(np.float32))

    @staticmethod
    def load(folder: Path) -> Samples:
        """Read what `save` wrote."""
        return Samples(np.load(folder / PIXELS), np.load(folder / EXPECTED))

    def save(self, folder: Path) -> None:
        """Write ``pixels.npy`` and ``expected.npy``."""
        np.save(folder / PIXELS, np.ascontiguousarray(self.pixels))
        np.save(folder / EXPECTED, np.ascontiguousarray(self.expected))

    def reference(self, manifest: Manifest) -> Reference:
        """Return them as the reference that stages compare a network's outputs with."""
        return Reference(normalised(self.pixels, manifest.input), self.expected)


def normalised(pixels: NDArray[np.uint8], taken: InputPart) -> NDArray[np.float32]:
    """Return 8-bit pixels, (N, C, H, W), as the float32 that a network takes."""
    factor, offset = _scale(taken)
    images: NDArray[np.float32] = pixels * factor - offset
    return images


def _scale(taken: InputPart) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    factor, offset = (np.array(each, np.float32)[:, np.newaxis, np.newaxis] for each in (taken.factor, taken.offset))
    return factor, offset
