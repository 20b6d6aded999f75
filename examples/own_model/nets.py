"""Shows a model of your own: a function that builds a network, which own_model.toml names as ``nets:build``.

dlas run examples/own_model/own_model.toml
"""

from torch import nn


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network from images, (N, *shape), to logits, (N, classes)."""
    channels = round(32 * width)
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * channels, classes),
    )
