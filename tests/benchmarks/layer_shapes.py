"""ONNX network → its distinct layers; layers → a network of single layers, and the tensor programs of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from dlas_ops.kernels.shared.convolution import Conv


@dataclass(frozen=True)
class Shape:
    """A convolution or, with `dense`, a dense layer seen as a convolution of one point; `first` reads the input."""

    conv: Conv
    dense: bool = False
    first: bool = False

    def __str__(self) -> str:
        conv = self.conv
        if self.dense:
            return f"dense {conv.in_channels}->{conv.out_channels}"
        stride = f"/{conv.stride[0]}" if conv.stride[0] > 1 else ""
        groups = f" groups {conv.groups}" if conv.groups > 1 else ""
        kernel, channels = "x".join(map(str, conv.kernel)), f"{conv.in_channels}->{conv.out_channels}"
        return f"{kernel}{stride} {channels}{groups} @{conv.height}x{conv.width}"


def shapes(path: Path) -> list[Shape]:
    """Return the distinct convolutions and dense layers of an ONNX network, in its order."""
    model = shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    known = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    sizes = {name: [d.dim_value for d in value.type.tensor_type.shape.dim] for name, value in known.items()}
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found: dict[Shape, None] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            fields: Any = [tuple(attributes[name]) for name in ("strides", "pads", "dilations")]
            out, _, *kernel = weights[node.input[1]]
            batch, channels, height, width = sizes[node.input[0]]
            strides, pads, dilations = fields
            conv = Conv(
                batch,
                channels,
                height,
                width,
                out,
                (kernel[0], kernel[1]),
                strides,
                pads,
                dilations,
                attributes["group"],
            )
            found[Shape(conv, first=node.input[0] == graph.input[0].name)] = None
        elif node.op_type == "Gemm":
            out, inputs = weights[node.input[1]]
            found[Shape(Conv(1, inputs, 1, 1, out, (1, 1)), dense=True)] = None
    return list(found)


def network_of(layers: Sequence[Shape], sparsity: float = 0.0) -> onnx.ModelProto:
    """Return a network of independent branches, one per layer, each with bias and ReLU.

    A max-pool over 1x1 stands before and after a convolution, which puts activations into the layout that they have
    inside a network; a network's first layer reads the plain input. Of each weight, the `sparsity` smallest are zero.
    """
    generator = np.random.default_rng(0)
    nodes, inputs, weights = [], [], []
    for i, layer in enumerate(layers):
        conv = layer.conv
        size = (
            (conv.batch, conv.in_channels) if layer.dense else (conv.batch, conv.in_channels, conv.height, conv.width)
        )
        inputs.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, size))
        shape = (conv.out_channels, conv.group_channels, *(() if layer.dense else conv.kernel))
        weight = generator.standard_normal(shape, np.float32)
        weight[np.abs(weight) < np.quantile(np.abs(weight), sparsity)] = 0.0
        weights += [numpy_helper.from_array(weight, f"w{i}")]
        weights += [numpy_helper.from_array(generator.standard_normal(conv.out_channels, np.float32), f"b{i}")]
        if layer.dense:
            nodes.append(helper.make_node("Gemm", [f"x{i}", f"w{i}", f"b{i}"], [f"c{i}"], transB=1))
            nodes.append(helper.make_node("Relu", [f"c{i}"], [f"y{i}"]))
            continue
        source = f"x{i}" if layer.first else f"p{i}"
        if not layer.first:
            nodes.append(helper.make_node("MaxPool", [f"x{i}"], [source], kernel_shape=[1, 1]))
        nodes.append(
            helper.make_node(
                "Conv", [source, f"w{i}", f"b{i}"], [f"c{i}"], kernel_shape=conv.kernel, strides=conv.stride,
                pads=conv.padding, dilations=conv.dilation, group=conv.groups,
            )
        )  # fmt: skip
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        nodes.append(helper.make_node("MaxPool", [f"r{i}"], [f"y{i}"], kernel_shape=[1, 1]))
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(len(layers))]
    graph = helper.make_graph(nodes, "layers", inputs, outputs, weights)
    return shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


def programs_of(lowered: Any, layers: Sequence[Shape]) -> list[list[tuple[Any, list[Any]]]]:
    """Return, per layer, the tensor programs between its pools, each with its arguments and then its result."""
    from dlas_ops._tvm import tvm

    main = lowered.module["main"]
    # Variable → the layer that it belongs to and how many pools lie before it.
    places = {var: (i, int(layers[i].first or layers[i].dense)) for i, var in enumerate(main.params)}
    found: list[list[tuple[Any, list[Any]]]] = [[] for _ in layers]
    for block in main.body.blocks:
        for binding in block.bindings:
            arguments = _arguments(tvm, binding.value)
            before = [places[argument] for argument in arguments if argument in places]
            if not before:
                continue
            layer, pools = max(before)
            function = binding.value.args[0] if _is_program(tvm, binding.value) else None
            if function is not None and "max_pool" in function.name_hint:
                pools += 1
            elif function is not None and pools == 1:
                found[layer].append((lowered.module[function], [*arguments, binding.var]))
            places[binding.var] = (layer, pools)
    return found


def _is_program(tvm: Any, value: Any) -> bool:
    return isinstance(value, tvm.relax.Call) and getattr(value.op, "name", "") == "relax.call_tir"


def _arguments(tvm: Any, value: Any) -> list[Any]:
    if isinstance(value, tvm.relax.TupleGetItem):
        return [value.tuple_value]
    if not isinstance(value, tvm.relax.Call):
        return []
    arguments = value.args[1] if _is_program(tvm, value) else value.args
    return list(getattr(arguments, "fields", arguments))
