"""ONNX model → the names of its weights, found again by their values: importing reorders and renames operators."""

from __future__ import annotations

from typing import Any, TypeAlias

import onnx
from numpy.typing import NDArray

# Shape and hash of the values.
Key: TypeAlias = tuple[tuple[int, ...], int]

# Workaround: TVM 0.27: its ONNX front end drops the names of weights; tests/workarounds
OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class WeightNames:
    """The names of the weights of a model's convolutions and dense layers, each given once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = model.graph.node
        dequantized = {node.output[0]: node.input[0] for node in nodes if node.op_type == "DequantizeLinear"}
        self._names: dict[Key, list[str]] = {}
        for node in nodes:
            name = dequantized.get(node.input[1], node.input[1]) if node.op_type in OPERATORS else ""
            if name in constants:
                weight = onnx.numpy_helper.to_array(constants[name])
                equal = self._names.setdefault(_key(weight), [])
                # Quantizers append this; the layer keeps the name that it has in the float network.
                equal.append(name.removesuffix("_quantized"))
                if weight.ndim == 2:  # a dense layer's may be transposed on import
                    self._names.setdefault(_key(weight.T), equal)

    def take(self, weight: NDArray[Any]) -> str:
        """Return the name of `weight`, or "" if the model has no such weight left; of equal ones the first."""
        found = self._names.get(_key(weight), [])
        return found.pop(0) if found else ""


def _key(weight: NDArray[Any]) -> Key:
    return weight.shape, hash(weight.tobytes())
