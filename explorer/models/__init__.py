"""Width, classes, image shape → an untrained network: the Protocol of models, channel counts, and fitted strides.

A model is one file, a `Model`. Where torchvision has weights for it at width 1, trained on ImageNet, the literal
``PRETRAINED`` is their address, which torchvision's enumeration of weights has, too, and ``PRETRAINED_INPUT`` how they
want images of any size to be cut; all want ImageNet's normalisation. ``VERSION`` is raised whenever the same parameters
give another network, and enters the key of training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from explorer.core import plugins

if TYPE_CHECKING:
    from torch import nn

CHANNEL_BLOCK = 8  # channel counts are multiples of it: a vector register holds 8 or 16 float32 values
SMALL_IMAGE = 64  # px; up to here a network written for 224 px keeps its stem at full resolution
SMALLEST_MAP = 4  # px, as the CIFAR variants have it; images below 16 px get down to a quarter of their side, or to 2


class Build(Protocol):
    """Builds a model."""

    def __call__(self, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
        """Return an untrained network from images, (N, *shape), to logits, (N, classes).

        On small images the earliest strides are 1. A model that does otherwise says so in its docstring.

        Parameters
        ----------
        width
            Multiplier of all channel counts.
        shape
            Channels, height and width of an image.
        """


class Model(Protocol):
    """A module of this folder."""

    build: Build


def builder(name: str) -> Build:
    """Return the function that builds model `name`, one of this folder, of a library or ``module:function``.

    Raises
    ------
    ExplorerError
        If there is none.
    """
    if plugins.of_library(name):
        from explorer.models import _libraries

        return _libraries.builder(name)
    if plugins.is_custom(name):
        return cast(Build, plugins.load_custom(name))
    return cast(Model, plugins.load("model", name)).build


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
