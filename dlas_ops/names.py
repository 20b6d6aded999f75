"""ONNX model → the names of its weights, found again by their values: importing reorders and renames operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

OPERATORS = ("Conv", "Gemm", "MatMul")


class WeightNames:
    """The names of the weights of a model's convolutions and dense layers, each given once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = model.graph.node
        dequantized = {node.output[0]: node.input[0] for node in nodes if node.op_type == "DequantizeLinear"}
        self._names: dict[Any, list[str]] = {}
        for node in nodes:
            name = dequantized.get(node.input[1], node.input[1]) if node.op_type in OPERATORS else ""
            if name in constants:
                key = _key(onnx.numpy_helper.to_array(constants[name]), node.op_type == "Conv")
                # Quantizers append this; the layer keeps the name that it has in the float network.
                self._names.setdefault(key, []).append(name.removesuffix("_quantized"))

    def take(self, weight: NDArray[Any]) -> str:
        """Return the name of `weight`, or "" if the model has no such weight left; of equal ones the first."""
        found = self._names.get(_key(weight, weight.ndim == 4), [])
        return found.pop(0) if found else ""


def _key(weight: NDArray[Any], convolves: bool) -> Any:
    """Return what is equal for equal weights; a dense layer's also if one of them is transposed."""
    if convolves:
        return weight.shape, hash(weight.tobytes())
    either = weight if weight.shape[0] <= weight.shape[-1] else weight.T
    if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
        return weight.shape, hash(np.sort(weight, axis=None).tobytes())
    return either.shape, hash(either.tobytes())
