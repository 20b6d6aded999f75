"""Float network and its 8-bit form → a network of 8-bit integers in some layers, and what each layer's 8 bits do.

A layer is what its weights are named. Operators without weights compute with 8-bit integers between layers that do:
where all layers do that they compute on, and any that reads what they make.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dlas_ops.onnx.calibration import Array, Runner
from dlas_ops.onnx.folding import fold_batch_norms
from dlas_ops.onnx.quantization import WEIGHTED, Scales, Writer, activations
from dlas_ops.onnx.reading import constants_of, inputs_of


def quantized_layers(quantized: onnx.ModelProto) -> tuple[str, ...]:
    """Return the layers of a network, as `dlas_ops.quantize` writes it, that have 8-bit weights, in their order."""
    found = {node.input[0] for node in quantized.graph.node if node.op_type == "DequantizeLinear"}
    weights = {name.removesuffix("_quantized") for name in found if name.endswith("_quantized")}
    read = (node.input[1] for node in quantized.graph.node if node.op_type in WEIGHTED)
    named = (name.removesuffix("_DequantizeLinear_Output") for name in read)
    return tuple(dict.fromkeys(name for name in named if name in weights))


def mixed(network: onnx.ModelProto, quantized: onnx.ModelProto, chosen: Collection[str]) -> onnx.ModelProto:
    """Return `network` with 8-bit integers in the layers `chosen` and between them, float32 in all others.

    Parameters
    ----------
    network
        In float32.
    quantized
        The same network as `dlas_ops.quantize` writes it, which has the scales.
    chosen
        Some of `quantized_layers`.
    """
    folded, scales = fold_batch_norms(network), _scales(quantized)
    floats = _floats(folded, set(quantized_layers(quantized)), set(chosen))
    return Writer(folded, activations(folded, floats), scales, floats).model()


def harms(network: onnx.ModelProto, quantized: onnx.ModelProto, images: Array, runner: Runner) -> dict[str, float]:
    """Return for each of `quantized_layers` what 8 bits in this layer alone do to the network's first output.

    That is the mean square of the change over the mean square of the output about its mean: 0 where nothing changes,
    the ratio of noise to signal that quantizing all layers adds up of where their errors are independent (the measure
    of Lin, Talathi and Annapureddy, "Fixed Point Quantization of Deep Convolutional Networks", ICML 2016).

    Parameters
    ----------
    network, quantized
        As in `mixed`.
    images
        Inputs, (images, channels, height, width), of a network of batch 1.
    runner
        Runs the network with a switch for every layer: it is compiled once, whatever the number of layers.
    """
    names = quantized_layers(quantized)
    run = runner(_switched(fold_batch_norms(network), quantized, names))
    noise, signal = np.zeros(len(names)), 0.0
    for image in images:

        def output(switches: NDArray[np.float32], pixels: Array = image) -> NDArray[np.float64]:
            sample = np.concatenate([pixels.reshape(-1), switches]).astype(np.float32)
            return np.asarray(run(sample[np.newaxis])[0], np.float64)

        exact = output(np.zeros(len(names), np.float32))
        signal += float(((exact - exact.mean()) ** 2).sum())
        noise += [float(((output(switches) - exact) ** 2).sum()) for switches in np.eye(len(names), dtype=np.float32)]
    return dict(zip(names, (noise / (signal or 1.0)).tolist(), strict=True))


def _scales(quantized: onnx.ModelProto) -> Scales:
    """Return the scales of the activations, which alone have a single unsigned integer for 0."""
    held = constants_of(quantized)
    zeros = {name.removesuffix("_zero_point"): zero for name, zero in held.items() if name.endswith("_zero_point")}
    own = {name: zero for name, zero in zeros.items() if zero.ndim == 0 and zero.dtype == np.uint8}
    return {name: (np.float32(held[f"{name}_scale"]), np.uint8(zero)) for name, zero in own.items()}


def _floats(folded: onnx.ModelProto, able: Collection[str], chosen: Collection[str]) -> set[str]:
    """Return the first outputs of the operators that stay in float32, although they are able to have 8-bit integers."""
    nodes, choices = folded.graph.node, {layer: layer in chosen for layer in able}
    after, before = _after_chosen(nodes, choices), _before_chosen(nodes, choices)
    integers = {node.output[0]: after[node.output[0]] and before.get(node.output[0], True) for node in nodes}
    integers |= {node.output[0]: choices[layer] for node in nodes if (layer := _layer(node)) in choices}
    return {name for name, computed in integers.items() if not computed}


def _layer(node: onnx.NodeProto) -> str:
    return str(node.input[1]) if node.op_type in WEIGHTED else ""


def _after_chosen(nodes: Sequence[onnx.NodeProto], choices: Mapping[str, bool]) -> dict[str, bool]:
    """Return for each tensor whether all layers that it is computed of, each the last one on its way, are chosen."""
    after: dict[str, bool] = {}
    for node in nodes:
        read = all(after.get(name, True) for name in node.input)
        after.update(dict.fromkeys(node.output, choices.get(_layer(node), read)))
    return after


def _before_chosen(nodes: Sequence[onnx.NodeProto], choices: Mapping[str, bool]) -> dict[str, bool]:
    """Return for each tensor that is read whether any layer that reads it, or what is made of it, is chosen.

    What no layer reads goes out, and is as it is in the quantized network.
    """
    before: dict[str, bool] = {}
    for node in reversed(nodes):
        wanted = choices.get(_layer(node), any(before.get(name, True) for name in node.output))
        for name in node.input:
            before[name] = before.get(name, False) or wanted
    return before


def _switched(folded: onnx.ModelProto, quantized: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a network of one input: an image's values and, behind them, a number for every layer.

    Where that is 1, the layer computes with what 8 bits make of its weights and of what it reads; where it is 0, as it
    is.
    """
    (source,) = inputs_of(folded)
    shape = [size.dim_value for size in source.type.tensor_type.shape.dim]
    assert shape[0] == 1, "the network takes one image at once"
    writer = _Switches(folded, quantized, names, int(np.prod(shape)))
    writer.image(source.name, shape)
    for node in folded.graph.node:
        writer.operator(node)
    result = onnx.ModelProto()
    result.CopyFrom(folded)
    del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:], result.graph.input[:]
    result.graph.input.append(helper.make_tensor_value_info("sample", TensorProto.FLOAT, [1, writer.values]))
    result.graph.node.extend(writer.nodes)
    result.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in writer.constants.items())
    return onnx.shape_inference.infer_shapes(result)


class _Switches:
    """Writes the operators of a network whose layers are switched to 8 bits by its input.

    Attributes
    ----------
    values : that the input has
    """

    def __init__(self, folded: onnx.ModelProto, quantized: onnx.ModelProto, names: Sequence[str], pixels: int) -> None:
        self.values = pixels + len(names)
        self.nodes: list[onnx.NodeProto] = []
        self.constants = constants_of(folded)
        self._written: set[str] = set()
        self._places = {name: pixels + place for place, name in enumerate(names)}
        self._scales, self._rounded = _scales(quantized), _rounded(quantized)
        inferred = onnx.shape_inference.infer_shapes(folded).graph
        infos = (*inferred.value_info, *inferred.input, *inferred.output)
        self._ranks = {info.name: len(info.type.tensor_type.shape.dim) for info in infos}

    def image(self, name: str, shape: Sequence[int]) -> None:
        """Write the image as tensor `name`."""
        pixels = self._slice(0, int(np.prod(shape)))
        self._emit("Reshape", name, pixels, self._constant(f"{name}_shape", np.array(shape, np.int64)))

    def operator(self, node: onnx.NodeProto) -> None:
        """Write an operator or, of a layer, the layer twice: as it is, and what its weights' rounding adds."""
        if node.op_type not in WEIGHTED or node.input[1] not in self._places:
            self.nodes.append(node)
            return
        layer, read, made = node.input[1], node.input[0], node.output[0]
        written, error = onnx.NodeProto(), onnx.NodeProto()
        written.CopyFrom(node)
        seen = self._switched(layer, self._ranks[read], read, self._in_8_bits(read, made), f"{made}_read")
        written.input[0], written.output[0] = seen, f"{made}_exact"
        error.CopyFrom(written)
        lost = (self._rounded[layer] - self.constants[layer]).astype(np.float32)
        error.input[:] = [seen, self._constant(f"{layer}_lost", lost)]
        error.output[0] = f"{made}_error"
        self.nodes += [written, error]
        self._emit("Mul", f"{made}_added", error.output[0], self._switch(layer, self._ranks[made]))
        self._emit("Add", made, written.output[0], f"{made}_added")

    def _in_8_bits(self, read: str, made: str) -> str:
        """Write what 8 bits make of a tensor that a layer reads; return it."""
        scale, zero = self._scales[read]
        bounds = [np.float32(0) - np.float32(zero), np.float32(255) - np.float32(zero)]
        step = self._constant(f"{read}_step", np.asarray(scale))
        least, most = (self._constant(f"{read}_{end}", np.asarray(bounds[end])) for end in (0, 1))
        divided = self._emit("Div", f"{made}_divided", read, step)
        whole = self._emit("Round", f"{made}_whole", divided)
        clipped = self._emit("Clip", f"{made}_clipped", whole, least, most)
        return self._emit("Mul", f"{made}_in_8_bits", clipped, step)

    def _switched(self, layer: str, rank: int, off: str, on: str, output: str) -> str:
        """Write what is `on` where the layer's switch is 1, and `off` where it is 0; return it."""
        apart = self._emit("Sub", f"{output}_apart", on, off)
        moved = self._emit("Mul", f"{output}_moved", apart, self._switch(layer, rank))
        return self._emit("Add", output, off, moved)

    def _switch(self, layer: str, rank: int) -> str:
        """Return the layer's switch with so many axes."""
        place = self._places[layer]
        value = self._slice(place, place + 1)
        return self._emit("Reshape", f"{value}_{rank}", value, self._constant(f"ones_{rank}", np.ones(rank, np.int64)))

    def _slice(self, begin: int, end: int) -> str:
        ends = [self._constant(f"at_{place}", np.array([place], np.int64)) for place in (begin, end)]
        return self._emit("Slice", f"values_{begin}", "sample", *ends, self._constant("axis", np.array([1], np.int64)))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = value
        return name

    def _emit(self, operator: str, output: str, *inputs: str) -> str:
        """Write an operator once, and return its output."""
        if output not in self._written:
            self._written.add(output)
            self.nodes.append(helper.make_node(operator, inputs, [output]))
        return output


def _rounded(quantized: onnx.ModelProto) -> dict[str, Array]:
    """Return what 8 bits make of each layer's weights."""
    held, found = constants_of(quantized), {}
    for node in quantized.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in held:
            integers, scale = held[node.input[0]], held[node.input[1]]
            axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
            column = scale.reshape([-1 if place == axis else 1 for place in range(integers.ndim)])
            found[node.input[0].removesuffix("_quantized")] = (integers * column).astype(np.float32)
    return found
