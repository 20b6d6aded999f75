"""Pixels that a training sees, by which the engine tells a long one from a short one."""

from __future__ import annotations

from explorer.core.settings import AnswerSettings
from explorer.line.contracts.train import training_pixels
from tests.typed_stages import made, training


def test_pixels_are_those_of_the_training_images_once_for_every_epoch() -> None:
    assert training_pixels(made("data", shape=[3, 32, 16], train=100)) == 100 * 32 * 16
    assert training(images=100, side=8, epochs=3).trained_pixels == 3 * 100 * 8 * 8
    assert training(images=100, side=8, epochs=0).trained_pixels == 0


def test_a_model_that_is_not_trained_answers_the_images_that_the_accuracy_is_taken_on() -> None:
    some, many = (AnswerSettings(answered_images=count, answered_seed=0) for count in (20, 200))
    assert training(100, 8, epochs=1, validation=50).answered_pixels == 0
    assert training(100, 8, epochs=0, validation=50).answered_pixels == 50 * 64
    assert training(100, 8, epochs=0, validation=50, answered=some).answered_pixels == 20 * 64
    assert training(100, 8, epochs=0, validation=50, answered=many).answered_pixels == 50 * 64
