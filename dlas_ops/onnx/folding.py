"""Float ONNX network → the same one, its batch norms folded into the convolutions before them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from dlas_ops.onnx.reading import attributes_of, constants_of

Array = NDArray[np.float32]
CONVOLUTIONS = ("Conv", "ConvTranspose")


def fold_batch_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with every batch norm that follows a convolution, and nothing else does, folded into it."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, constants = result.graph, constants_of(model)
    uses = Counter([name for node in graph.node for name in node.input] + [output.name for output in graph.output])
    convolutions = {node.output[0]: node for node in graph.node if node.op_type in CONVOLUTIONS}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        conv = convolutions.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        known = conv is not None and all(name in constants for name in (*node.input[1:], *conv.input[1:]))
        if conv is None or not known or uses[node.input[0]] > 1:
            kept.append(node)
            continue
        gamma, beta, mean, variance = (constants[name].astype(np.float64) for name in node.input[1:5])
        epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-5)
        factor = gamma / np.sqrt(variance + epsilon)
        bias = constants[conv.input[2]] if len(conv.input) > 2 else 0.0
        # Named after the layer's own weights, which nothing else reads any more, unless two layers share them.
        weight = conv.input[1] if uses[conv.input[1]] == 1 else f"{conv.input[1]}_of_{node.output[0]}"
        constants[weight] = _scaled(conv, constants[conv.input[1]], factor)
        constants[f"{weight}_bias"] = (beta + (bias - mean) * factor).astype(np.float32)
        conv.input[1:] = [weight, f"{weight}_bias"]
        conv.output[0] = node.output[0]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    used = {name for node in nodes for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(node for node in nodes if node.op_type != "Constant")
    graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in constants if name in used)
    return onnx.shape_inference.infer_shapes(result)


def _scaled(conv: onnx.NodeProto, weight: Array, factor: NDArray[np.float64]) -> Array:
    """Return the weights of a convolution that yields `factor`, one number per channel, times as much."""
    if conv.op_type == "Conv":
        return (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
    groups = attributes_of(conv).get("group", 1)  # transposed: (inputs, outputs of a group, …)
    by_group = weight.reshape(groups, -1, *weight.shape[1:]) * factor.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
    return np.asarray(by_group.reshape(weight.shape), np.float32)
