from __future__ import annotations

import pytest
import torch
from torch import nn

from explorer import accounting, models, plugins


@pytest.mark.parametrize(
    ("base", "width", "expected"), [(64, 1.0, 64), (64, 0.25, 16), (64, 0.1, 8), (320, 0.35, 112), (3, 1.0, 8)]
)
def test_channels_are_multiples_of_8(base: int, width: float, expected: int) -> None:
    assert models.channels(base, width) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (224, [2, 1, 2, 2, 2, 2]),
        (64, [1, 1, 2, 2, 2, 2]),
        (32, [1, 1, 1, 2, 2, 2]),  # as in the CIFAR variants
        (28, [1, 1, 1, 2, 2, 2]),
        (8, [1, 1, 1, 1, 2, 2]),
        (12, [1, 1, 1, 1, 2, 2]),
    ],
)
def test_small_images_lose_the_earliest_strides(image: int, expected: list[int]) -> None:
    assert models.fitted([2, 1, 2, 2, 2, 2], image) == expected


@pytest.mark.parametrize(
    ("name", "shape", "classes", "macs", "parameters"),
    [
        # torchvision's figures for the ImageNet networks.
        ("resnet18", (3, 224, 224), 1000, 1.814e9, 11_689_512),
        ("mobilenetv2", (3, 224, 224), 1000, 0.3008e9, 3_504_872),
        # The CIFAR variant of github.com/kuangliu/pytorch-cifar.
        ("resnet18", (3, 32, 32), 10, 0.5554e9, 11_173_962),
    ],
)
def test_full_width_costs_what_the_literature_says(
    name: str, shape: tuple[int, int, int], classes: int, macs: float, parameters: int
) -> None:
    model: nn.Module = plugins.load("model", name).build(1.0, classes, shape)
    layers = accounting.account(model, torch.zeros(1, *shape))
    assert accounting.total(layers, "macs") == pytest.approx(macs, rel=1e-3)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_the_account_of_single_layers_agrees_with_the_formulas() -> None:
    linear = nn.Linear(32, 5)
    with torch.no_grad():
        linear.weight[0] = 0
    depthwise = nn.Conv2d(8, 8, 3, groups=8)
    model = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1), depthwise, nn.Flatten(), linear)
    layers = accounting.account(model, torch.zeros(1, 4, 8, 8))
    assert layers == {
        "0": {"channels": 8, "weights": 4 * 8 * 9, "nonzeros": 4 * 8 * 9, "macs": 4 * 8 * 9 * 16},
        "1": {"channels": 8, "weights": 8 * 9, "nonzeros": 8 * 9, "macs": 8 * 9 * 4},
        "3": {"channels": 5, "weights": 32 * 5, "nonzeros": 32 * 4, "macs": 32 * 5},
    }
    assert accounting.total(layers, "nonzeros") == 288 + 72 + 128
