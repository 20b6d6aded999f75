"""Channels that are removed: in multiples, in as many steps as asked for, alike in layers that belong together."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from explorer.compression import _narrowing, channel_pruning
from explorer.core import plugins
from explorer.line.training import accounting
from tests.conftest import Compress
from tests.contract.networks import DEEP, model_of
from tests.dlas_ops.crossed import crossed
from tests.torch_stages import weights_of

LAST = "fc"  # resnet18's classifier


def test_channel_pruning_makes_every_layer_narrower_but_keeps_the_classes(compressed: Compress) -> None:
    network = compressed("channel_pruning", 0.5)
    for name, layer in network.values["layers"].items():
        before, after = layer["before"]["channels"], layer["after"]["channels"]
        assert after == (10 if name == LAST else max(8, before // 2))
    assert network.values["macs"] < 0.4 * sum(layer["before"]["macs"] for layer in network.values["layers"].values())
    assert network.values["removed_weights"] > 0.6
    assert 0.4 < network.values["removed_channels"] < 0.5
    assert network.values["weights"] == network.values["nonzeros"]


@pytest.mark.parametrize(
    ("width", "ratio", "kept"),
    [
        (64, 0.5, 32),
        (64, 0.75, 16),
        (24, 0.5, 16),
        (24, 0.75, 8),
        (16, 0.9, 8),
        (8, 0.5, 8),
        (4, 0.5, 4),
        (56, 0.1, 48),
    ],
)
def test_channels_are_kept_in_multiples_of_8(width: int, ratio: float, kept: int) -> None:
    assert _narrowing.kept(width, ratio, 8) == kept


@pytest.mark.parametrize(
    ("width", "multiple", "kept"), [(64, 1, 32), (5, 1, 2), (1, 1, 1), (40, 16, 16), (44, 3, 21), (24, 32, 24)]
)
def test_channels_are_kept_in_multiples_of_what_is_asked_for(width: int, multiple: int, kept: int) -> None:
    assert _narrowing.kept(width, 0.5, multiple) == kept


def test_a_layer_that_no_multiple_fits_is_cut_down_to_one() -> None:
    assert _narrowing.kept(44, 0.01, 16) == 32


@pytest.mark.parametrize(("norm", "left"), [("l1", 4.0), ("l2", 3.0)])
def test_the_norm_decides_which_channel_goes(norm: str, left: float) -> None:
    """Of a channel with one weight of 3 and one with four of 1, the sum of magnitudes keeps the latter."""
    layer, classifier = nn.Conv2d(1, 2, 2, bias=False), nn.Linear(2, 10)
    model = nn.Sequential(layer, nn.Flatten(), classifier)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[3.0, 0.0], [0.0, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]]))
        classifier.weight.zero_()
    pruned = channel_pruning.compress(
        model, 0.5, torch.zeros(1, 1, 2, 2), lambda model, share=1.0, pace=1.0: None, norm=norm, channel_multiple=1
    )
    assert weights_of(pruned)[0].abs().sum() == left


def test_what_the_least_channels_of_a_grouped_convolution_wrote_is_all_that_is_lost() -> None:
    torch.manual_seed(0)
    first, grouped, last = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 24, 3, groups=4), nn.Linear(24 * 16, 10)
    model = nn.Sequential(first, grouped, nn.Flatten(), last)
    with torch.no_grad():
        for place in (0, 2):  # of each of the 4 groups' inputs
            first.weight[place::4], first.bias[place::4], grouped.weight[:, place] = 0, 0, 0  # type: ignore[index]
        for place in (1, 3, 4):  # of each group's outputs
            grouped.weight[place::6], grouped.bias[place::6] = 0, 0  # type: ignore[index]
            last.weight.view(10, 24, 16)[:, place::6] = 0
    images = torch.randn(3, 1, 8, 8)
    expected = model(images)
    for steps in (1, 3):
        pruned = channel_pruning.compress(
            model, 0.5, images[:1], lambda model, share=1.0, pace=1.0: None, channel_multiple=1, steps=steps
        )
        assert [tuple(weight.shape[:2]) for weight in weights_of(pruned)] == [(8, 1), (12, 2), (10, 12 * 16)]
        torch.testing.assert_close(pruned(images), expected)


LONG = (DEEP[0], *DEEP[3:])
MULTIPLES = [
    *crossed([model for model in plugins.names("model") if model not in LONG], [3, 16]),
    *(pytest.param(model, multiple, marks=pytest.mark.nightly) for model in LONG for multiple in (3, 16)),
]


@pytest.mark.parametrize(("model_name", "multiple"), MULTIPLES)
def test_channels_are_kept_in_any_multiple(model_name: str, multiple: int) -> None:
    """Also where channels are added, concatenated, squeezed or convolved one by one, and in how many steps ever."""
    widths = []
    example = torch.zeros(1, 1, 8, 8)
    before = accounting.account(model_of(model_name), example)
    for steps in (1, 2):
        model = channel_pruning.compress(
            model_of(model_name), 0.5, example, perturb, channel_multiple=multiple, steps=steps
        )
        assert model(torch.randn(3, 1, 8, 8)).shape == (3, 10)
        widths.append({name: layer["channels"] for name, layer in accounting.account(model, example).items()})
    assert widths[0] == widths[1]
    *body, _ = before
    for name in body:
        whole = before[name]["channels"]
        kept = whole <= multiple or name.endswith(".qkv")  # an attention keeps its channels
        assert widths[0][name] == whole if kept else widths[0][name] % multiple == 0


@torch.no_grad()
def perturb(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
    """Change which channels are the least, as fine-tuning does."""
    for parameter in model.parameters():
        parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
