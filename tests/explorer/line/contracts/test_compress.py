"""Pixels that a fine-tuning sees, none where nothing is removed."""

from __future__ import annotations

from explorer.core.settings import CompressSettings
from explorer.line.contracts.compress import Parameters, Parents, Stage
from tests.typed_stages import made


def test_only_what_is_fine_tuned_is_trained_on() -> None:
    parents = Parents(made("data", shape=[1, 8, 8], train=100), made("train"))
    tuned = Parameters("weight_pruning", 0.5, None, "resnet18", 1.0, CompressSettings(epochs=3))
    assert Stage(tuned, parents).trained_pixels == 3 * 100 * 64
    assert Stage(Parameters("none", None, None, "resnet18", 1.0), parents).trained_pixels == 0
