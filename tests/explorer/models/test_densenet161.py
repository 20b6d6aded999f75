"""DenseNet-161: costs, names and outputs of torchvision's, and maps that fit the image."""

from __future__ import annotations

import torchvision

from explorer.models.densenet161 import build
from tests.explorer.published import assert_computes_alike, assert_costs, assert_named_alike, channels, maps


def test_full_width_costs_on_imagenet_what_torchvision_lists() -> None:
    assert_costs(build, 7.728e9, 28_681_000)


def test_parameters_are_named_as_torchvision_names_them() -> None:
    assert_named_alike(build, torchvision.models.densenet161)


def test_with_torchvisions_parameters_outputs_are_torchvisions() -> None:
    assert_computes_alike(build, torchvision.models.densenet161)


def test_the_smallest_images_are_pooled_by_the_last_transitions_alone() -> None:
    assert maps(build, 8) == [8, 4, 2]


def test_width_multiplies_the_growth_rate() -> None:
    narrow = channels(build, 0.5)
    assert narrow[0] == 48, "the stem has twice the growth rate"
    assert narrow[1:3] == [96, 24], "a layer widens to four times what it adds"
    assert narrow.count(24) == 6 + 12 + 36 + 24
