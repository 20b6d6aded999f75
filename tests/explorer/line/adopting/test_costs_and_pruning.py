"""ONNX networks cost what their models cost in PyTorch, and lose the weights that these would lose."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from explorer.compression import weight_pruning
from explorer.line.adopting import costs, fitting, pruning, reading
from explorer.line.task import LABELS, Task
from explorer.line.training import accounting

IMAGE = (3, 16, 16)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A network without batch norms, whose weights ONNX has as they are."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, groups=16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 10),
    ).eval()


@pytest.fixture(scope="module")
def network(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The same as PyTorch's exporter writes it unless told otherwise: its weights in a file beside it."""
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    torch.onnx.export(model, (torch.zeros(2, *IMAGE),), path, dynamo=True, verbose=False)
    assert path.with_name("net.onnx.data").exists()
    return fitting.fit(reading.read(path), IMAGE, Task(LABELS, 10))


def test_layers_cost_what_torch_counts(model: nn.Module, network: onnx.ModelProto) -> None:
    assert costs.account(network) == accounting.account(model, torch.zeros(1, *IMAGE))
    assert costs.parameters(network) == accounting.parameters(model)


@pytest.mark.parametrize("scores", ["l1", "lamp"])
@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_the_weights_that_torch_would_remove_are_removed(
    scores: str, ratio: float, model: nn.Module, network: onnx.ModelProto
) -> None:
    found = costs.weights(pruning.pruned(network, ratio, scores))
    twin = copy.deepcopy(model)
    weight_pruning.compress(twin, ratio, torch.zeros(1, *IMAGE), lambda *_: None, scores=scores)
    whole = sum(weight.size for weight in found.values())
    assert sum(np.count_nonzero(weight) for weight in found.values()) == whole - round(ratio * whole)
    for name, tensor in twin.named_parameters():
        if name in found:
            np.testing.assert_array_equal(found[name], tensor.detach().numpy())


def test_a_transposed_convolution_costs_its_weights_at_each_pixel_that_it_reads(tmp_path: Path) -> None:
    layers = nn.Sequential(nn.ConvTranspose2d(3, 6, 2, stride=2, groups=3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.onnx.export(layers.eval(), (torch.zeros(1, *IMAGE),), tmp_path / "net.onnx", dynamo=True, verbose=False)
    network = fitting.fit(reading.read(tmp_path / "net.onnx"), IMAGE, Task(LABELS, 6))
    assert costs.account(network) == {
        "0": {"channels": 6, "weights": 3 * 2 * 4, "nonzeros": 3 * 2 * 4, "macs": 3 * 2 * 4 * 16 * 16}
    }


def test_statistics_and_bounds_are_no_parameters() -> None:
    names = ("gamma", "beta", "mean", "variance")
    nodes = [
        onnx.helper.make_node("BatchNormalization", ["x", *names], ["normal"]),
        onnx.helper.make_node("Clip", ["normal", "", "six"], ["y"]),
    ]
    image = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 5, 2, 2))
    held = [numpy_helper.from_array(np.ones(5, np.float32), name) for name in names]
    held.append(numpy_helper.from_array(np.array(6, np.float32), "six"))
    graph = onnx.helper.make_graph(nodes, "net", [image], [], held)
    assert costs.parameters(onnx.helper.make_model(graph)) == 2 * 5
