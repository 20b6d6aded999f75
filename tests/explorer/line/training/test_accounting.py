"""Costs of layers as formulas give them, zeros counted where a dense kernel multiplies by them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from explorer.line import costs
from explorer.line.training import accounting
from explorer.models import builder


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
    assert costs.total(layers, "nonzeros") == 288 + 72 + 128


def test_a_network_costs_what_the_variant_for_cifar_does() -> None:
    """The variant of github.com/kuangliu/pytorch-cifar."""
    model = builder("resnet18")(1.0, 10, (3, 32, 32))
    layers = accounting.account(model, torch.zeros(1, 3, 32, 32))
    assert costs.total(layers, "macs") == pytest.approx(0.5554e9, rel=1e-3)
    assert accounting.parameters(model) == 11_173_962
