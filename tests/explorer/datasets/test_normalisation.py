"""What images are normalised by: ``[data]`` before the weights, and the weights before the training images."""

from __future__ import annotations

import pytest

from explorer.core.errors import StageFailed
from explorer.core.settings import DataSettings
from explorer.datasets._normalisation import IMAGENET, Pair, normalisation

GREY: Pair = ([0.1], [0.2])
COLOUR: Pair = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
WEIGHTS: Pair = ([0.7, 0.8, 0.9], [0.1, 0.1, 0.1])


def test_the_settings_decide_before_the_weights_and_those_before_the_images() -> None:
    assert normalisation(DataSettings(), None, COLOUR) == COLOUR
    assert normalisation(DataSettings(), WEIGHTS, COLOUR) == WEIGHTS
    assert normalisation(DataSettings(normalise="dataset"), WEIGHTS, COLOUR) == COLOUR
    assert normalisation(DataSettings(normalise="imagenet"), WEIGHTS, COLOUR) == tuple(map(list, IMAGENET))
    assert normalisation(DataSettings(mean=(0.25,), std=(0.5,)), WEIGHTS, COLOUR) == ([0.25] * 3, [0.5] * 3)


def test_one_number_is_for_all_channels_and_others_must_be_as_many() -> None:
    assert normalisation(DataSettings(normalise="half"), None, GREY) == ([0.5], [0.5])
    assert normalisation(DataSettings(normalise="half"), None, COLOUR) == ([0.5] * 3, [0.5] * 3)
    with pytest.raises(StageFailed, match=r'normalise = "imagenet" is of 3 channels, and the images have 1; give one'):
        normalisation(DataSettings(normalise="imagenet"), None, GREY)
    with pytest.raises(StageFailed, match="mean is of 2 channels, and the images have 3"):
        normalisation(DataSettings(mean=(0.1, 0.2), std=(0.1, 0.2)), None, COLOUR)


def test_weights_for_other_images_ask_for_nothing() -> None:
    assert normalisation(DataSettings(), WEIGHTS, GREY) == GREY
