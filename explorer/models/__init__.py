"""What the models share: channel counts under a width multiplier, and strides that fit small images.

A model's file has one function, ``build(width, classes, shape)``. It returns an untrained network from images,
(N, *shape), to logits, (N, classes). ``width`` multiplies all channel counts; ``shape`` is an image's channels, height
and width; on small images the earliest strides are 1. Where a model does otherwise, its docstring says so. Where there
are such, ``PRETRAINED`` is the address of torchvision's weights for it at width 1, trained on ImageNet; torchvision's
enumeration of weights has it, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CHANNEL_BLOCK = 8  # channel counts are multiples of it: a vector register holds 8 or 16 float32 values
SMALL_IMAGE = 64  # px; up to here a network written for 224 px keeps its stem at full resolution
SMALLEST_MAP = 4  # px, as the CIFAR variants have it; images below 16 px get down to a quarter of their side, or to 2


def channels(base: int, width: float) -> int:
    """Return ``base * width`` rounded to a multiple of `CHANNEL_BLOCK`, at least one block."""
    return max(CHANNEL_BLOCK, round(base * width / CHANNEL_BLOCK) * CHANNEL_BLOCK)


def fitted(strides: Sequence[int], image: int) -> list[int]:
    """Return `strides` for an image of `image` px: the earliest become 1 until the last map is large enough.

    Parameters
    ----------
    strides
        Those of the network's stem and stages at 224 px, from input to output, each 1 or 2.
    image
        The shorter side of the image.

    Notes
    -----
    Up to `SMALL_IMAGE` px the first entry, the stem's, is always 1, as in the CIFAR variants of the networks' papers.
    """
    plan = list(strides)
    if image <= SMALL_IMAGE:
        plan[0] = 1
    for position in range(len(plan)):
        if math.ceil(image / math.prod(plan)) >= min(SMALLEST_MAP, max(image // 4, 2)):
            break
        plan[position] = 1
    return plan
