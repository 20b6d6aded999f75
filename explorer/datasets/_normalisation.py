"""``[data]``, what initial weights ask for, and the training images' own → the mean and std that images come with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from explorer.core.settings import DataSettings
from explorer.datasets import unusable

# Per channel, of pixels from 0 to 1: ImageNet's, as torchvision has them, and what brings pixels to -1 to 1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,), (0.5,))
PRESETS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {"imagenet": IMAGENET, "half": HALF}

Pair = tuple[list[float], list[float]]  # mean and std by channel, of pixels from 0 to 1


def normalisation(settings: DataSettings, weights: Pair | None, own: Pair) -> Pair:
    """Return the mean and std of every channel that images are normalised by.

    Parameters
    ----------
    weights
        The mean and std that the initial weights ask for, if they ask for any. Those of another number of channels do
        not count: the weights are for other images.
    own
        The training images' own.

    Raises
    ------
    StageFailed
        If ``[data]`` gives a mean and std of another number of channels.
    """
    channels = len(own[0])
    if settings.normalise == "dataset":
        return own
    if settings.normalise is not None:
        return _spread(PRESETS[settings.normalise], channels, f'normalise = "{settings.normalise}"')
    if settings.mean is not None and settings.std is not None:
        return _spread((settings.mean, settings.std), channels, "mean")
    if weights is not None and len(weights[0]) in (1, channels):
        return _spread(weights, channels, "mean")
    return own


def _spread(pair: tuple[Sequence[float], Sequence[float]], channels: int, setting: str) -> Pair:
    """Return `pair` with one number for each channel; a single one stands for all."""
    mean, std = ([*each] * channels if len(each) == 1 else [*each] for each in pair)
    if len(mean) != channels:
        raise unusable(
            f"[data] {setting} is of {len(mean)} channels, and the images have {channels}; give one number for all "
            "channels, or one for each"
        )
    return mean, std
