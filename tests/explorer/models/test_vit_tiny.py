"""ViT-Tiny: names and costs of timm's, and patches that fit the image."""

from __future__ import annotations

import pytest
import timm
import torch

from explorer.models.vit_tiny import build
from tests.explorer.published import assert_costs, assert_named_alike


def test_full_width_costs_on_imagenet_what_timm_lists() -> None:
    assert_costs(build, 1.2537e9, 5_717_416)


def test_parameters_are_named_as_timm_names_them() -> None:
    assert_named_alike(build, lambda: timm.create_model("vit_tiny_patch16_224"))


@pytest.mark.parametrize(
    ("shape", "tokens"), [((3, 224, 224), 196), ((3, 32, 32), 64), ((1, 8, 8), 64), ((1, 28, 56), 98)]
)
def test_patches_fit_the_image(shape: tuple[int, int, int], tokens: int) -> None:
    with torch.device("meta"):
        assert build(1.0, 10, shape).state_dict()["pos_embed"].shape == (1, tokens + 1, 192)
        assert build(0.5, 10, shape).state_dict()["pos_embed"].shape[2] == 96
