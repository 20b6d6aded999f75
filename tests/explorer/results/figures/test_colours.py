"""The colours of figures, as each kind of colour vision sees them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from explorer.results.figures.layout import COLOURS

Floats = NDArray[np.float64]
OKABE_ITO = 7  # colours, the first ones
# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009.
VISIONS = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no long ones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle ones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no short ones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of linear sRGB


def seen(colour: str, vision: str) -> Floats:
    """Return a colour in CIELAB as a kind of vision sees it."""
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    light = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(XYZ @ np.clip(np.array(VISIONS[vision]) @ light, 0, 1) / (XYZ @ np.ones(3)))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(one: str, other: str, vision: str) -> float:
    return float(np.linalg.norm(seen(one, vision) - seen(other, vision)))


def test_colours_beyond_the_palette_are_told_apart_at_least_as_its_own_are() -> None:
    own = min(apart(*pair, vision) for vision in VISIONS for pair in combinations(COLOURS[:OKABE_ITO], 2))
    added = [pair for pair in combinations(COLOURS, 2) if pair[1] in COLOURS[OKABE_ITO:]]
    assert min(apart(*pair, vision) for vision in VISIONS for pair in added) > own
