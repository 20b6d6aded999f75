"""ONNX network → what its layers cost, as `explorer.line.training.accounting` counts it of a model in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from explorer.line.contracts.compress import Costs

CONVOLUTIONS = ("Conv", "ConvTranspose")
LAYERS = (*CONVOLUTIONS, "Gemm", "MatMul")  # whose second input may be a weight
STATISTICS = {"BatchNormalization": (3, 4), "Resize": (1, 2)}  # inputs of floats that nothing learns


def weights(network: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Return the weights of convolutions and linear layers, by the names of their tensors."""
    constants = {tensor.name: tensor for tensor in network.graph.initializer}
    names = dict.fromkeys(node.input[1] for node in _layers(network, constants))
    return {name: numpy_helper.to_array(constants[name]) for name in names}


def account(network: onnx.ModelProto) -> dict[str, Costs]:
    """Return the costs of every convolution and linear layer, by its weight's name without ``.weight``.

    Layers that share a weight count as one, which is computed several times.
    """
    graph = onnx.shape_inference.infer_shapes(network).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    found = weights(network)
    costs = {
        name: {"channels": 0, "weights": weight.size, "nonzeros": int(np.count_nonzero(weight)), "macs": 0}
        for name, weight in found.items()
    }
    for node in _layers(network, found):
        weight = found[node.input[1]]
        own = costs[node.input[1]]
        own["channels"] = _channels(node, weight)
        own["macs"] += _macs(node, weight, shapes)
    return {name.removesuffix(".weight"): own for name, own in costs.items()}


def parameters(network: onnx.ModelProto) -> int:
    """Return how many numbers are learned: those of weights, biases and batch norms, whose statistics are not."""
    graph = network.graph
    fixed = {node.input[at] for node in graph.node for at in STATISTICS.get(node.op_type, ()) if at < len(node.input)}
    return sum(
        math.prod(tensor.dims)
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and tensor.dims and tensor.name not in fixed
    )


def _layers(network: onnx.ModelProto, constants: Mapping[str, object]) -> list[onnx.NodeProto]:
    return [node for node in network.graph.node if node.op_type in LAYERS and node.input[1] in constants]


def _channels(node: onnx.NodeProto, weight: NDArray[np.float32]) -> int:
    stated: dict[str, int] = {each.name: each.i for each in node.attribute}
    if node.op_type == "ConvTranspose":
        return int(weight.shape[1]) * stated.get("group", 1)
    has_outputs_first = node.op_type == "Conv" or stated.get("transB")
    return int(weight.shape[0 if has_outputs_first else -1])


def _macs(node: onnx.NodeProto, weight: NDArray[np.float32], shapes: Mapping[str, list[int]]) -> int:
    """Return the multiply-accumulates of a layer: its weights, as often as each is multiplied."""
    if node.op_type == "MatMul":  # of each row
        return weight.size * math.prod(shapes[node.output[0]][:-1]) if weight.ndim == 2 else 0
    if node.op_type == "Gemm":
        return weight.size * shapes[node.output[0]][0]
    tensor = node.output[0] if node.op_type == "Conv" else node.input[0]
    batch, _, *pixels = shapes[tensor]
    return weight.size * batch * math.prod(pixels)
