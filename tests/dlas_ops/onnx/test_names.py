"""Layers keep the names of their weights, whatever order the model's operators stand in."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks

ONE, OTHER = Conv(1, 8, 5, 5, 8, (1, 1)), Conv(1, 8, 5, 5, 8, (3, 3), padding=(1, 1, 1, 1))
KERNELS = {"one": ONE.kernel, "other": OTHER.kernel}


def branches(first: str, second: str) -> onnx.ModelProto:
    """Return two convolutions of the same input, added; their nodes in the order of their weights' names."""
    convolutions = {"one": ONE, "other": OTHER}
    weights = {name: networks.weights_of(conv) for name, conv in convolutions.items()}
    nodes = [networks.conv_node(convolutions[name], ["x", name], f"y_{name}") for name in (first, second)]
    return networks.model([*nodes, helper.make_node("Add", ["y_other", "y_one"], ["y"])], (1, 8, 5, 5), weights)


@pytest.mark.parametrize("order", [("one", "other"), ("other", "one")])
def test_names_do_not_depend_on_the_order(order: tuple[str, str]) -> None:
    layers = dlas_ops.lower(branches(*order), networks.target(), algorithm="direct").layers
    assert {layer.name: layer.weight[2:] for layer in layers} == KERNELS


@pytest.mark.parametrize(("inputs", "outputs", "transposed"), [(4, 4, 0), (4, 4, 1), (6, 4, 1), (4, 6, 0)])
def test_names_dense_layers_either_way_round(inputs: int, outputs: int, transposed: int) -> None:
    shape = (outputs, inputs) if transposed else (inputs, outputs)
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
    network = networks.model([node], (1, inputs), {"w": networks.random(shape)})
    [layer] = dlas_ops.lower(network, networks.target(), algorithm="direct").layers
    assert (layer.name, layer.weight) == ("w", (outputs, inputs))


def test_equal_weights_are_named_once_each() -> None:
    weight = np.ones((8, 8, 1, 1), np.float32)
    nodes = [networks.conv_node(ONE, ["x", "a"], "h"), networks.conv_node(ONE, ["h", "b"], "y")]
    network = networks.model(nodes, (1, 8, 5, 5), {"a": weight, "b": weight.copy()})
    layers = dlas_ops.lower(network, networks.target(), algorithm="direct").layers
    assert [layer.name for layer in layers] == ["a", "b"]
