from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from explorer import models
from explorer.core import plugins
from explorer.line.training import accounting

IMAGENET = (3, 224, 224)
# Of the ImageNet networks: multiply-accumulates and parameters as torchvision lists them; MobileNetV1's and
# EfficientNet-Lite0's are timm's, whose mobilenetv1_100 and efficientnet_lite0 have the same layers.
PUBLISHED = {
    "resnet18": (1.814e9, 11_689_512),
    "resnet50": (4.089e9, 25_557_032),
    "vgg16": (15.470e9, 138_365_992),
    "densenet161": (7.728e9, 28_681_000),
    "mobilenetv1": (0.5687e9, 4_231_976),
    "mobilenetv2": (0.3008e9, 3_504_872),
    "efficientnet_b0": (0.3858e9, 5_288_548),
    "efficientnet_lite0": (0.3852e9, 4_652_008),
}
TORCHVISION: dict[str, Callable[[], Any]] = {
    "resnet18": torchvision.models.resnet18,
    "resnet50": torchvision.models.resnet50,
    "vgg16": torchvision.models.vgg16_bn,
    "densenet161": torchvision.models.densenet161,
    "mobilenetv2": torchvision.models.mobilenet_v2,
    "efficientnet_b0": torchvision.models.efficientnet_b0,
}


def build(name: str, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    model: nn.Module = plugins.load("model", name).build(width, classes, shape)
    return model


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
        (4, [1, 1, 1, 1, 1, 2]),
        (1, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_small_images_lose_the_earliest_strides(image: int, expected: list[int]) -> None:
    assert models.fitted([2, 1, 2, 2, 2, 2], image) == expected


@pytest.mark.parametrize("name", plugins.names("model"))
def test_full_width_costs_on_imagenet_what_is_published(name: str) -> None:
    macs, parameters = PUBLISHED[name]
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build(name, 1.0, 1000, IMAGENET).eval()
        model(torch.empty(1, *IMAGENET))
    assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=1e-3)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    # The CIFAR variants of github.com/kuangliu/pytorch-cifar.
    [("resnet18", 0.5554e9, 11_173_962), ("resnet50", 1.2978e9, 23_520_842), ("vgg16", 0.3132e9, 14_728_266)],
)
def test_full_width_costs_on_cifar_what_its_variants_do(name: str, macs: float, parameters: int) -> None:
    model = build(name, 1.0, 10, (3, 32, 32))
    layers = accounting.account(model, torch.zeros(1, 3, 32, 32))
    assert accounting.total(layers, "macs") == pytest.approx(macs, rel=1e-3)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_are_named_as_torchvision_names_them(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = build(name, 1.0, 1000, IMAGENET).state_dict(), TORCHVISION[name]().state_dict()
    assert {key: array.shape for key, array in ours.items()} == {key: array.shape for key, array in theirs.items()}


# 128 px is the smallest image that no stride is taken from. VGG-16's linear layers fit 224 px only.
@pytest.mark.parametrize("name", sorted(TORCHVISION.keys() - {"vgg16"}))
def test_with_torchvisions_parameters_outputs_are_torchvisions(name: str) -> None:
    theirs = TORCHVISION[name]().eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    ours = build(name, 1.0, 1000, (3, 128, 128)).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        expected = theirs(image)
        assert expected.std() > 0
        assert torch.equal(ours(image), expected)


@pytest.mark.parametrize("name", plugins.names("model"))
@pytest.mark.parametrize(("width", "shape"), [(0.01, (1, 1, 1)), (1.7, (2, 4, 9)), (0.01, (3, 65, 97))])
def test_any_width_and_image_will_do(name: str, width: float, shape: tuple[int, int, int]) -> None:
    with torch.device("meta"), torch.no_grad():
        model = build(name, width, 7, shape).eval()
        assert model(torch.empty(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "stem", "head"),
    [("efficientnet_b0", 48, 1792), ("efficientnet_lite0", 32, 1280), ("mobilenetv2", 48, 1792)],
)
def test_only_lite_keeps_its_ends_as_it_widens(name: str, stem: int, head: int) -> None:
    with torch.device("meta"):
        model = build(name, 1.4, 10, (3, 32, 32))
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert (convolutions[0].out_channels, convolutions[-1].out_channels) == (stem, head)


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
