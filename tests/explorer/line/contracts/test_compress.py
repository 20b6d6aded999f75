"""Pixels that a fine-tuning sees, none where nothing is removed."""

from __future__ import annotations

from dataclasses import replace

from explorer.core.settings import CompressSettings
from explorer.line.contracts.compress import Parameters, Parents, Stage
from tests.typed_stages import made


def test_only_what_is_fine_tuned_is_trained_on() -> None:
    parents = Parents(made("data", shape=[1, 8, 8], train=100), made("train"))
    tuned = Parameters("weight_pruning", 0.5, None, "resnet18", 1.0, CompressSettings(epochs=3))
    assert Stage(tuned, parents).trained_pixels == 3 * 100 * 64
    assert Stage(Parameters("none", None, None, "resnet18", 1.0), parents).trained_pixels == 0


def test_answers_count_in_a_study_that_trains_nothing() -> None:
    parents = Parents(made("data", shape=[1, 8, 8], train=100, validation=20, test=30), made("train"))
    plain = Parameters("none", None, None, "resnet18", 1.0)
    tuned = Parameters("weight_pruning", 0.5, None, "resnet18", 1.0, CompressSettings(epochs=3), is_trained=False)
    assert Stage(plain, parents).answered_pixels == Stage(tuned, parents).answered_pixels == 0
    alone = replace(plain, is_trained=False)
    assert Stage(alone, parents).answered_pixels == (20 + 30) * 64
    assert Stage(alone, parents).key == Stage(plain, parents).key
