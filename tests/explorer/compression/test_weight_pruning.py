"""Weights that are removed: exactly the share asked for, for good, and none of the largest of any layer."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from explorer.compression import weight_pruning
from explorer.core.artifact import Artifact
from tests import torch_stages
from tests.conftest import Compress
from tests.torch_stages import weights_of


@pytest.mark.parametrize(
    ("ratio", "scores"), [(0.75, "l1"), (0.9, "lamp"), pytest.param(0.9, "l1", marks=pytest.mark.nightly)]
)
def test_weight_pruning_zeroes_exactly_the_share_asked_for(
    ratio: float, scores: str, digits: Artifact, trained: Artifact, compressed: Compress, tmp_path: Path
) -> None:
    if scores == "l1":
        network = compressed("weight_pruning", ratio)
    else:
        network = torch_stages.compress(tmp_path, digits, trained, "weight_pruning", ratio, epochs=1, scores=scores)
    weights, nonzeros = network.values["weights"], network.values["nonzeros"]
    assert weights - nonzeros == round(ratio * weights)
    graph = onnx.load(network.path / "network.onnx").graph
    filters = [onnx.numpy_helper.to_array(value) for value in graph.initializer if len(value.dims) > 1]
    assert sum(np.count_nonzero(values) for values in filters) == nonzeros
    assert network.values["macs"] == network.values["macs_before"]


@pytest.mark.parametrize("scores", ["l1", "lamp"])
def test_what_one_step_removes_stays_removed(scores: str) -> None:
    """And no layer is emptied, however small its weights are beside those of the others."""
    torch.manual_seed(0)
    small = nn.Conv2d(8, 8, 3)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), small, nn.Flatten(), nn.Linear(128, 10))
    with torch.no_grad():
        small.weight.mul_(1e-3)
    zeros: list[torch.Tensor] = []

    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        zeros.append(torch.cat([weight.flatten() == 0 for weight in weights_of(model)]))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 1, 8, 8)).square().mean().backward()
            optimizer.step()

    weight_pruning.compress(model, 0.9, torch.zeros(1, 1, 8, 8), fine_tune, scores=scores, steps=3)
    zeros.append(torch.cat([weight.flatten() == 0 for weight in weights_of(model)]))
    count = len(zeros[0])
    assert [int(zero.sum()) for zero in zeros] == [round(share * 0.9 * count) for share in (19 / 27, 26 / 27, 1, 1)]
    assert all((later | ~earlier).all() for earlier, later in itertools.pairwise(zeros))
    left = [weight.count_nonzero() / weight.numel() for weight in weights_of(model)]
    assert min(left) >= (weight_pruning.FLOOR * 0.1 if scores == "l1" else 1e-3)
