"""Parts of both EfficientNets: the stages of the paper's table, and ends that a variant may have otherwise."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.efficientnet import MBConv

from explorer.models._efficientnet import STAGES, efficientnet


def blocks(network: nn.Module) -> list[MBConv]:
    return [module for module in network.modules() if isinstance(module, MBConv)]


def test_stages_have_the_blocks_of_the_papers_table() -> None:
    with torch.device("meta"):
        network = efficientnet(1.0, 10, (3, 224, 224))
    expected = [outputs for *_, outputs, repetitions in STAGES for _ in range(repetitions)]
    assert [block.out_channels for block in blocks(network)] == expected
    assert len(expected) == 16


def test_strides_are_fitted_to_the_shorter_side() -> None:
    with torch.device("meta"):
        small, large = (efficientnet(0.25, 10, (3, side, 224)) for side in (32, 224))
    strides = [
        [module.stride[0] for module in network.modules() if isinstance(module, nn.Conv2d) and module.stride[0] > 1]
        for network in (small, large)
    ]
    assert strides == [[2] * 3, [2] * 5]


def test_ends_take_the_place_of_what_the_width_makes_of_them() -> None:
    def ends(network: nn.Module) -> tuple[int, int]:
        stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
        *_, classifier = (module for module in network.modules() if isinstance(module, nn.Linear))
        return stem.out_channels, classifier.in_features

    with torch.device("meta"):
        assert ends(efficientnet(2.0, 10, (3, 32, 32))) == (64, 2560)
        assert ends(efficientnet(2.0, 10, (3, 32, 32), ends=(8, 40))) == (8, 40)
