"""Bytes that a training keeps for its backward pass, counted without a trace in the model or the generator."""

from __future__ import annotations

import torch
from torch import nn

from explorer.line.training import activations


def test_activations_are_counted_without_a_trace() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())
    model.train().to(memory_format=torch.channels_last)
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    image, map_ = 64 * 4, 4 * 64 * 4
    few = 100  # what else batch norm and dropout keep is small, or a byte per value
    assert image + 3 * map_ <= activations.kept_bytes(model, (1, 8, 8)) <= image + 4 * map_ + few
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
