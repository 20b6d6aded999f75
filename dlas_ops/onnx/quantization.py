"""Float ONNX network + calibration images → the QDQ network whose weights and activations are 8-bit integers.

Activations get one asymmetric scale per tensor (uint8), weights one symmetric scale per output channel (int8), biases
the product of the two (int32), as in Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dlas_ops.onnx.calibration import Array, Method, Runner, observe, scale_and_zero
from dlas_ops.onnx.folding import CONVOLUTIONS, fold_batch_norms
from dlas_ops.onnx.reading import attributes_of, constants_of, inputs_of

# Tensor → its scale and the integer that stands for 0.
Scales: TypeAlias = Mapping[str, tuple[np.float32, np.uint8]]

WEIGHTED = (*CONVOLUTIONS, "Gemm", "MatMul")
# Their outputs are values of their inputs, hence stand on the same scale.
SAME_RANGE = ("MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose")
# They become bounds of the operator before them.
BOUNDS = ("Relu", "Clip")
# What they make is tokens or the like, which only weights are multiplied with as 8-bit integers: the sums that run
# through a transformer lose too much in them.
TOKENS = ("MatMul", "LayerNormalization", "Softmax")
QUANTIZED = (
    *WEIGHTED, *SAME_RANGE, *BOUNDS, "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean",
    "Sigmoid", "HardSigmoid", "HardSwish",
)  # fmt: skip
OPSET = 13  # the first whose DequantizeLinear knows channels


def is_quantized(model: onnx.ModelProto) -> bool:
    """Return whether `model` has quantized tensors."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def quantize(
    model: onnx.ModelProto, images: Array, runner: Runner, *, percentile: float = 100.0, method: Method = "percentile"
) -> onnx.ModelProto:
    """Return `model` as a QDQ network, its batch norms folded into its convolutions.

    Parameters
    ----------
    model : a float32 network of one input and static shapes, at least of opset 13
    images : calibration inputs, (images, channels, height, width), a multiple of the network's batch
    runner : runs the network on the images, to see what its activations are
    percentile, method : which range of an activation's values its scale covers, see `dlas_ops.onnx.calibration.observe`

    Raises
    ------
    ValueError
        If the model is of an older opset or quantized already, if none of its operators takes 8-bit integers, or if the
        images do not fit its input.
    """
    version = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 0)
    if version < OPSET:
        raise ValueError(f"the network is of opset {version}; int8 needs {OPSET} or later")
    if is_quantized(model):
        raise ValueError("the network is quantized already; compile it without calibration images")
    folded = fold_batch_norms(model)
    names = activations(folded)
    if not names:
        raise ValueError(f"none of the network's operators runs on 8-bit integers: {_operators(folded)}")
    ranges = observe(folded, names, images, runner, percentile, method)
    return Writer(folded, names, {name: scale_and_zero(covered) for name, covered in ranges.items()}).model()


def activations(model: onnx.ModelProto, floats: Collection[str] = ()) -> list[str]:
    """Return the tensors to quantize: what quantized operators read, but for what a bias or a bound follows at once.

    Parameters
    ----------
    floats
        The first outputs of operators that are not quantized, although they could be.
    """
    graph, constants = model.graph, constants_of(model)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    ranks = {
        info.name: len(info.type.tensor_type.shape.dim)
        for info in (*inferred.value_info, *inferred.input, *inferred.output)
        if info.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    produced = {name: node for node in graph.node for name in node.output}
    outputs, tokens = {output.name for output in graph.output}, _tokens(graph)
    found = []
    for name in [*(source.name for source in inputs_of(model)), *produced]:
        reading = readers.get(name, [])
        taken_in = len(reading) == 1 and name in produced and name not in outputs
        taken_in = taken_in and _takes_in(reading[0], produced[name], constants)
        integers = [node for node in reading if node.output[0] not in floats]
        reads = any(_reads_integers(node, name, ranks.get(name, 0), constants, tokens) for node in integers)
        if name in ranks and name not in constants and not taken_in and reads:
            found.append(name)
    return found


def _tokens(graph: onnx.GraphProto) -> set[str]:
    """Return the tensors that a convolution has not made, and `TOKENS` has, or that are computed of such."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type in TOKENS or (node.op_type not in CONVOLUTIONS and found.intersection(node.input)):
            found.update(node.output)
    return found


def _takes_in(node: onnx.NodeProto, before: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether `node` is a bound or the bias of the operator `before` it, which does both at once."""
    if node.op_type in BOUNDS:
        return before.op_type in QUANTIZED
    weighted = before.op_type == "MatMul" and before.input[1] in constants
    return weighted and node.op_type == "Add" and any(name in constants for name in node.input)


def _reads_integers(
    node: onnx.NodeProto, name: str, rank: int, constants: Mapping[str, NDArray[Any]], tokens: set[str]
) -> bool:
    """Tell whether `node` reads the tensor `name`, of so many axes, as 8-bit integers."""
    if node.op_type in WEIGHTED:
        weight = constants.get(node.input[1])
        return node.input[0] == name and weight is not None and _is_one_matrix(node, weight)
    if node.op_type not in QUANTIZED or tokens.intersection(node.output):
        return False
    return rank == 4 or node.op_type in (*SAME_RANGE, *BOUNDS)


def _is_one_matrix(node: onnx.NodeProto, weight: NDArray[Any]) -> bool:
    """Tell whether `weight` is of a convolution, or one matrix and not several."""
    return node.op_type in CONVOLUTIONS or (weight.ndim >= 2 and prod(weight.shape[:-2]) == 1)


class Writer:
    """Writes the QDQ network: quantized constants, and every quantized activation through a pair of operators.

    Parameters
    ----------
    names, scales
        The activations to quantize, and their scales.
    floats
        As of `activations`: these operators read and have weights in float32.
    """

    def __init__(
        self, model: onnx.ModelProto, names: Collection[str], scales: Scales, floats: Collection[str] = ()
    ) -> None:
        self.source, self.names, self.floats = model, set(names), floats
        self.constants = constants_of(model)
        self.scales = self._passed_on(scales)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, NDArray[Any]] = {}
        self.uses = Counter(name for node in model.graph.node for name in node.input)

    def model(self) -> onnx.ModelProto:
        """Return the network."""
        for source in inputs_of(self.source):
            self._pair(source.name)
        for node in self.source.graph.node:
            written = onnx.NodeProto()
            written.CopyFrom(node)
            if node.output[0] not in self.floats:
                written.input[:] = [self._dequantized(name) if name in self.names else name for name in node.input]
                if node.op_type in WEIGHTED and node.input[0] in self.names and node.input[1] in self.constants:
                    self._weights(node, written)
            self.nodes.append(written)
            for name in node.output:
                self._pair(name)
        result = onnx.ModelProto()
        result.CopyFrom(self.source)
        used = {name for node in self.nodes for name in node.input}
        del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
        result.graph.node.extend(self.nodes)
        arrays = {**self.constants, **self.initializers}
        result.graph.initializer.extend(numpy_helper.from_array(arrays[name], name) for name in arrays if name in used)
        return onnx.shape_inference.infer_shapes(result)

    def _passed_on(self, scales: Scales) -> Scales:
        """Return the scales, those of what an operator only moves being the ones of its input."""
        passed = dict(scales)
        for node in self.source.graph.node:  # in order, so that a scale passes through several operators
            if node.op_type in SAME_RANGE and node.output[0] in passed and node.input[0] in passed:
                passed[node.output[0]] = passed[node.input[0]]
        return passed

    def _pair(self, name: str) -> None:
        """Write the pair of operators that quantizes and dequantizes activation `name`, if that is to be quantized."""
        if name not in self.names:
            return
        parameters = [f"{name}_scale", f"{name}_zero_point"]
        self.initializers.update(zip(parameters, map(np.asarray, self.scales[name]), strict=True))
        quantized = f"{name}_QuantizeLinear_Output"
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *parameters], [quantized]))
        self.nodes.append(helper.make_node("DequantizeLinear", [quantized, *parameters], [self._dequantized(name)]))

    def _weights(self, node: onnx.NodeProto, written: onnx.NodeProto) -> None:
        """Quantize the weights and the bias that `node` owns, and let `written` read them."""
        attributes = attributes_of(node)
        weight = self.constants[node.input[1]]
        if weight.ndim < 2 or attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1:
            return
        axis = _output_axis(node, weight.ndim)
        others = tuple(each for each in range(weight.ndim) if each != axis)
        data = self.scales[node.input[0]][0]
        scale = np.abs(weight).max(axis=others) / np.float32(127)
        bias = self.constants.get(node.input[2]) if len(node.input) > 2 else None
        if bias is not None and bias.shape == scale.shape:
            scale = np.maximum(scale, np.abs(bias) / data / 2**30)  # so that the bias fits 32 bits
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        column = np.expand_dims(scale, others)
        integers = np.clip(np.rint(weight / column), -127, 127).astype(np.int8)
        written.input[1] = self._constant(node.input[1], integers, scale, axis)
        if bias is not None and bias.shape == scale.shape:
            scale = (data * scale).astype(np.float32)
            integers = np.rint(bias.astype(np.float64) / scale).astype(np.int32)
            # A bias may serve several operators, each with scales of its own.
            written.input[2] = self._constant(f"{node.input[2]}_of_{node.output[0]}", integers, scale, 0)

    def _constant(self, name: str, integers: NDArray[Any], scale: Array, axis: int) -> str:
        """Write `integers` with the operator that dequantizes them along `axis`; return its output."""
        output = self._dequantized(name)
        names = [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"]
        if names[0] not in self.initializers:
            zeros = np.zeros(scale.shape, integers.dtype)
            self.initializers.update(zip(names, (integers, scale, zeros), strict=True))
            self.nodes.append(helper.make_node("DequantizeLinear", names, [output], axis=axis))
        return output

    @staticmethod
    def _dequantized(name: str) -> str:
        return f"{name}_DequantizeLinear_Output"


def _output_axis(node: onnx.NodeProto, rank: int) -> int:
    """Return the axis of the output channels of the weights of `node`, which have `rank` axes."""
    if node.op_type == "ConvTranspose":
        return 1
    return 0 if node.op_type == "Conv" or attributes_of(node).get("transB") else rank - 1


def _operators(model: onnx.ModelProto) -> str:
    return ", ".join(sorted({node.op_type for node in model.graph.node}))
