"""ONNX network for one image → the same network for several images at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

# None: not known, or of a size that is not fixed.
Shapes: TypeAlias = Mapping[str, tuple[int | None, ...] | None]

# Operators that take the shape of their output as an input, and which one that is.
SHAPED = {"Reshape": 1, "Resize": 3}

# Operators that along axis 0 would mix images, although shapes stay what they are; and the axis unless given.
ALONG_AXIS = {"Softmax": -1, "LogSoftmax": -1, "Hardmax": -1, "LpNormalization": -1, "LayerNormalization": -1}


def with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return `model`, a network for one image, for `batch` images: image i of its output is that of image i alone.

    Constants that fix the batch, such as the shape that a Reshape leads to, are replaced.

    Parameters
    ----------
    model : float32 or QDQ, of one input and static shapes, whose first dimension is the batch
    batch : with 1, or what `model` takes already, `model` itself comes back

    Raises
    ------
    ValueError
        If `batch` is below 1, if the network takes another number of images than one, or if an operator does not treat
        images one by one along the first dimension of its tensors.
    """
    if batch < 1:
        raise ValueError(f"a network takes at least one image at once, not {batch}")
    if batch == 1:
        return model
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [number for number, value in enumerate(model.graph.input) if value.name not in constants]
    sizes = [model.graph.input[number].type.tensor_type.shape.dim for number in inputs]
    images = sizes[0][0].dim_value if len(inputs) == 1 and sizes[0] else 0
    if images == batch:
        return model
    if images != 1:
        raise ValueError("the network has no single input of one image, so that its batch cannot be changed")
    before = _shapes(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, source = result.graph, result.graph.input[inputs[0]]
    source.type.tensor_type.shape.dim[0].dim_value = batch
    _widen_constants(graph, batch, before)
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        result = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        said = " ".join(str(error).split())
        raise ValueError(f"the network cannot take {batch} images at once: {said}") from error
    _check(result.graph, source.name, batch, before)
    return result


def _shapes(graph: onnx.GraphProto) -> Shapes:
    """Return the shape of every tensor that `graph` states one of."""
    found: dict[str, tuple[int | None, ...] | None] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        sizes = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
        found[value.name] = sizes if tensor.HasField("shape") else None
    return found


def _widen_constants(graph: onnx.GraphProto, batch: int, before: Shapes) -> None:
    """Give every operator that leads to a fixed first dimension one that is `batch` times as large."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for number, node in enumerate(graph.node):
        at = SHAPED.get(node.op_type, len(node.input))
        if at >= len(node.input) or node.input[at] not in constants:
            continue
        sizes = np.array(numpy_helper.to_array(constants[node.input[at]]))
        own = before.get(node.output[0])
        if not sizes.size or sizes[0] < 1 or not own or sizes[0] != own[0]:
            continue
        sizes[0] *= batch
        name = f"{node.input[at]}_of_{number}"  # of its own: other operators may read the constant, too
        graph.initializer.append(numpy_helper.from_array(sizes, name))
        node.input[at] = name


def _check(graph: onnx.GraphProto, source: str, batch: int, before: Shapes) -> None:
    """Raise ValueError unless every tensor that is computed of `source` holds its images one after the other."""
    after, computed = _shapes(graph), {source}
    for node in graph.node:
        reading = [name for name in node.input if name in computed]
        if not reading:
            continue
        outputs = [name for name in node.output if name]
        computed.update(outputs)
        apart = all(_is_widened(before.get(name), after.get(name), batch) for name in outputs)
        if not apart or any(_along_first(node, before.get(name)) for name in reading):
            where = f"{node.op_type} '{node.name or outputs[0]}'"
            raise ValueError(f"the network cannot take {batch} images at once: {where} does not work image by image")


def _is_widened(one: tuple[int | None, ...] | None, several: tuple[int | None, ...] | None, batch: int) -> bool:
    """Tell whether a shape is that of one image but for a first dimension that is `batch` times as large."""
    if not one or not several or None in one or None in several:
        return False
    first = one[0]
    assert first is not None
    return several == (first * batch, *one[1:])


def _along_first(node: onnx.NodeProto, shape: tuple[int | None, ...] | None) -> bool:
    """Tell whether an operator that keeps its input's shape combines elements along the first dimension."""
    if node.op_type not in ALONG_AXIS:
        return False
    stated = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    axis = int(stated.get("axis", ALONG_AXIS[node.op_type]))
    return axis % len(shape or (0,)) == 0
