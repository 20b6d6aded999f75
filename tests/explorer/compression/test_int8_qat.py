"""Fine-tuning for int8: the model has the statistics that were trained, every layer changes, and zeros stay zeros."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from explorer.compression import _fake_quantization, int8_qat
from explorer.core.artifact import Artifact
from explorer.models import builder
from tests import studies, torch_stages
from tests.explorer.conftest import BRANCHING

SHAPE = (1, 8, 8)


def test_the_model_takes_over_the_statistics_or_fails() -> None:
    """Of buffers that are no longer the model's own, as after a training on another device."""
    model = builder("resnet18")(0.25, 10, SHAPE)
    graph = _fake_quantization.inference_graph(model.eval(), torch.linspace(-1, 1, 64).reshape(1, *SHAPE))
    network = _fake_quantization.quantized(graph)
    moved = {name: torch.rand_like(buffer) for name, buffer in network.named_buffers() if buffer.is_floating_point()}
    for name, buffer in moved.items():
        owner, _, own = name.rpartition(".")
        setattr(network.get_submodule(owner), own, buffer)
    int8_qat._take_statistics(model, network)
    kept = {name: buffer for name, buffer in model.named_buffers() if "running" in name}
    assert len(kept) == 2 * sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert all(torch.equal(buffer, moved[name]) for name, buffer in kept.items())
    model.layer3 = nn.Identity()
    with pytest.raises(KeyError, match=r"layer3\.0\.bn1\.running_mean"):
        int8_qat._take_statistics(model, network)


def test_the_only_epoch_trains_a_network_whose_activations_have_ranges() -> None:
    torch.manual_seed(0)
    model, images = builder("resnet18")(0.25, 10, SHAPE), torch.rand(64, *SHAPE)
    expected = copy.deepcopy(model).train()(images)
    shares, alike = [], []

    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        shares.append(share)
        if sum(shares) < 1:  # no whole epoch yet
            return
        both = torch.stack([model.train()(images).detach().flatten(), expected.detach().flatten()])
        alike.append(float(torch.corrcoef(both)[0, 1]))

    int8_qat.compress(model, None, images[:1], fine_tune)
    assert sum(shares) == 1
    assert alike == [pytest.approx(1, abs=0.05)]


def test_pruned_weights_stay_zero(digits: Artifact, trained_small: Artifact, tmp_path: Path) -> None:
    pruned, tuned = (
        torch_stages.compress(tmp_path / name, digits, trained_small, name, 0.75, studies.SMALL, 1.0, epochs=1)
        for name in ("weight_pruning", "weight_pruning+int8_qat")
    )
    assert pruned.values["nonzeros"] == tuned.values["nonzeros"] == round(0.25 * pruned.values["weights"])
    first, second = (filters(each.path / "network.onnx") for each in (pruned, tuned))
    for name in first:
        np.testing.assert_array_equal(first[name] == 0, second[name] == 0)
        assert (first[name] != second[name]).any(), "further training changes every layer"


def filters(path: Path) -> dict[str, NDArray[np.float32]]:
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    return {name: array for name, array in arrays.items() if array.ndim > 1}


def test_a_model_that_fx_cannot_trace(stripes: Artifact, branching: Artifact, tmp_path: Path) -> None:
    network = torch_stages.compress(tmp_path, stripes, branching, "int8_qat", None, **BRANCHING)
    assert network.values["torch_accuracy"] > 0.9
    assert {node.op_type for node in onnx.load(network.path / "network.onnx").graph.node} >= {"Conv", "Relu", "Gemm"}
