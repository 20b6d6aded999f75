"""A model's function → its costs, channels and maps, and whether it is torchvision's network at full width."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from explorer.models import Build

Shape = tuple[int, int, int]

IMAGENET = (3, 224, 224)
CIFAR = (3, 32, 32)


def assert_costs(build: Build, macs: float, parameters: int, classes: int = 1000, shape: Shape = IMAGENET) -> None:
    """Check how many multiply-accumulates an image takes, to 0.1 %, and how many parameters there are, at width 1."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = build(1.0, classes, shape).eval()
        model(torch.empty(1, *shape))
    assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=1e-3)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def channels(build: Build, width: float) -> list[int]:
    """Return the output channels of every convolution at a width, in the model's order."""
    with torch.device("meta"):
        model = build(width, 10, CIFAR)
    return [module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)]


def maps(build: Build, side: int) -> list[int]:
    """Return the sides of all maps that convolutions and pools make of a square image, each once, largest first."""
    sides: set[int] = set()

    def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        sides.add(output.shape[-1])

    with torch.device("meta"), torch.no_grad():
        model = build(0.25, 10, (3, side, side)).eval()
        for name, module in model.named_modules():
            gate = name.endswith((".fc1", ".fc2"))  # which sees one pixel
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and not gate:
                module.register_forward_hook(note)
        model(torch.empty(1, 3, side, side))
    return sorted(sides, reverse=True)


def assert_named_alike(build: Build, torchvisions: Callable[[], nn.Module]) -> None:
    """Check that parameters and buffers have the names and shapes that torchvision gives them."""
    with torch.device("meta"):
        ours, theirs = build(1.0, 1000, IMAGENET).state_dict(), torchvisions().state_dict()
    assert {key: array.shape for key, array in ours.items()} == {key: array.shape for key, array in theirs.items()}


def assert_computes_alike(build: Build, torchvisions: Callable[[], nn.Module]) -> None:
    """Check that outputs are torchvision's on 128 px, the smallest image that no stride is taken from."""
    theirs = torchvisions().eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    ours = build(1.0, 1000, (3, 128, 128)).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        expected = theirs(image)
        assert expected.std() > 0
        assert torch.equal(ours(image), expected)
