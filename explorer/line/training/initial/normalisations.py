"""Network with given weights and labelled images → whether another usual normalisation suits the weights far better."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from explorer.datasets import Held, Indices, channel_sums
from explorer.datasets._normalisation import PRESETS
from explorer.line.prepared import WHITE, Inputs
from explorer.line.training import predictions

IMAGES = 200  # that the normalisations are compared on
FAR = 0.05  # accuracy that another one gains at least
ERRORS = 2.0  # standard errors of the gain that it exceeds at least
SEED = 0

Array = NDArray[np.float64]


def better(model: nn.Module, images: Inputs, answered: Indices | None = None) -> str | None:
    """Return in one sentence which setting of ``[data]`` suits `model` far better; None if none of the usual ones does.

    They are compared on `IMAGES` of those `answered`, or of all, drawn at random and decoded once.
    """
    among = np.arange(len(images)) if answered is None else answered
    drawn = np.sort(np.random.default_rng(SEED).permutation(among)[:IMAGES])
    some = replace(images, images=Held(images.pixels(drawn), images.labels[drawn]))
    now = _hits(model, some)
    if now.mean() >= 1 - FAR:
        return None
    found = {setting: _hits(model, replace(some, mean=mean, std=std)) for setting, mean, std in _usual(some)}
    setting = max(found, key=lambda name: found[name].mean(), default=None)
    if setting is None or not _far_better(found[setting], now):
        return None
    return (
        f"the network classifies {now.mean():.1%} of {len(now)} validation images as they come and "
        f"{found[setting].mean():.1%} with {setting} in [data], which its weights seem to want"
    )


def _hits(model: nn.Module, images: Inputs) -> NDArray[np.bool_]:
    hits: NDArray[np.bool_] = predictions.decisions(model, images)[0] == images.labels
    return hits


def _far_better(hits: NDArray[np.bool_], now: NDArray[np.bool_]) -> bool:
    """Tell whether the gain is large, and more than chance makes of images that are classified otherwise."""
    gained, lost = int((hits & ~now).sum()), int((now & ~hits).sum())
    return gained - lost > max(FAR * len(now), ERRORS * math.sqrt(gained + lost))


def _usual(images: Inputs) -> Iterator[tuple[str, Array, Array]]:
    """Yield a setting's text with its mean and std by channel, of the usual normalisations other than the images'."""
    channels = images.shape[0]
    pairs = {f'normalise = "{name}"': pair for name, pair in PRESETS.items() if len(pair[0]) in (1, channels)}
    pairs["mean = 0 and std = 1"] = ((0.0,), (1.0,))
    arrays = {text: (np.resize(mean, channels), np.resize(std, channels)) for text, (mean, std) in pairs.items()}
    arrays['normalise = "dataset"'] = _own(images)
    for text, (mean, std) in arrays.items():
        if not (np.allclose(mean, images.mean, atol=0.01) and np.allclose(std, images.std, atol=0.01)):
            yield text, mean, std


def _own(images: Inputs) -> tuple[Array, Array]:
    """Return mean and std of the images themselves, which are about those of the training images."""
    pixels = images.pixels(np.arange(len(images)))
    first, second = channel_sums(pixels).sum(0) / (len(pixels) * math.prod(images.shape[1:]))
    return first / WHITE, np.sqrt(second - first * first) / WHITE
