"""Pixels that a training sees, by which the engine tells a long one from a short one."""

from __future__ import annotations

from explorer.line.contracts.train import training_pixels
from tests.typed_stages import made, training


def test_pixels_are_those_of_the_training_images_once_for_every_epoch() -> None:
    assert training_pixels(made("data", shape=[3, 32, 16], train=100)) == 100 * 32 * 16
    assert training(images=100, side=8, epochs=3).trained_pixels == 3 * 100 * 8 * 8
    assert training(images=100, side=8, epochs=0).trained_pixels == 0
