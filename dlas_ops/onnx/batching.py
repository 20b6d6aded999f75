"""ONNX network for one image → the same network for several images at once."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from dlas_ops.onnx import image_axis
from dlas_ops.onnx.image_axis import Axes, Constants, Shape, Shapes
from dlas_ops.onnx.reading import attributes_of, constants_of, inputs_of

# Operators that take the shape of their output as an input, and which one that is.
SHAPED = {"Reshape": 1, "Expand": 1, "Resize": 3}

# Operators that hold their operands against each other, element by element: one that is a constant of as many rows as
# an image has is needed once for each image.
ALIGNED = (
    "Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "PRelu", "Where", "And", "Or", "Xor", "MatMul", "Concat",
    "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual",
)  # fmt: skip


def with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return `model`, a network for one image, for `batch` images: image i of its output is that of image i alone.

    The axis along which a tensor's images lie is followed through the network. Constants that are for one image are
    replaced: the shape that a Reshape leads to, a token that is joined to each image, a mask of an image's windows.

    Parameters
    ----------
    model : float32 or QDQ, of one input and static shapes, whose first dimension is the batch
    batch : with 1, or what `model` takes already, `model` itself comes back

    Raises
    ------
    ValueError
        If `batch` is below 1, if the network takes another number of images than one, or if an operator does not treat
        images one by one.
    """
    if batch < 1:
        raise ValueError(f"a network takes at least one image at once, not {batch}")
    if batch == 1:
        return model
    inputs = inputs_of(model)
    sizes = inputs[0].type.tensor_type.shape.dim if len(inputs) == 1 else ()
    images = sizes[0].dim_value if sizes else 0
    if images == batch:
        return model
    if images != 1:
        raise ValueError("the network has no single input of one image, so that its batch cannot be changed")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    one = _shapes(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)
    axes = _widen(result, inputs[0].name, batch, one)
    [source] = inputs_of(result)
    source.type.tensor_type.shape.dim[0].dim_value = batch
    del result.graph.value_info[:]
    for output in result.graph.output:
        output.type.tensor_type.ClearField("shape")
    result = onnx.shape_inference.infer_shapes(result, data_prop=True)  # no shape where operands do not fit together
    several = _shapes(result.graph)
    for node in result.graph.node:
        for name in node.output:
            if name in axes and several.get(name) != _widened(one[name], axes[name], batch):
                raise _refusal(batch, _place(node))
    return result


def _refusal(batch: int, place: str) -> ValueError:
    return ValueError(f"the network cannot take {batch} images at once: {place} does not work image by image")


def _place(node: onnx.NodeProto) -> str:
    return f"{node.op_type} '{node.name or node.output[0]}'"


def _shapes(graph: onnx.GraphProto) -> Shapes:
    """Return the shape of every tensor of `graph` that is stated to have one of fixed size."""
    found: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(size.HasField("dim_value") for size in tensor.shape.dim):
            found[value.name] = tuple(size.dim_value for size in tensor.shape.dim)
    return found


def _widened(shape: Shape, axis: int, batch: int) -> Shape:
    return (*shape[:axis], shape[axis] * batch, *shape[axis + 1 :])


def _widen(model: onnx.ModelProto, source: str, batch: int, shapes: Shapes) -> Axes:
    """Give operators constants for `batch` images; return the axis of the images of every tensor computed of `source`.

    Raises
    ------
    ValueError
        If an operator mixes images, or if the images of the network's output do not lie along its first axis.
    """
    constants = constants_of(model)
    axes = {source: 0}
    ends = {output.name for output in model.graph.output}
    for node in model.graph.node:
        if axes.keys().isdisjoint(node.input):
            continue
        outputs = [name for name in node.output if name]
        known = all(name in shapes for name in (*node.input, *outputs) if name)
        axis = image_axis.followed(node, axes, shapes, constants) if known else None
        fits = axis is not None and all(axis < len(shapes[name]) for name in outputs)
        if axis is None or not fits or (axis and not ends.isdisjoint(outputs)):
            raise _refusal(batch, _place(node))
        for number, constant in _constants(node, axis, batch, axes, shapes, constants).items():
            name = f"{node.input[number]}_of_{outputs[0]}"  # of its own: other operators may read the constant, too
            model.graph.initializer.append(numpy_helper.from_array(constant, name))
            node.input[number] = name
        axes.update(dict.fromkeys(outputs, axis))
    return axes


def _constants(
    node: onnx.NodeProto, axis: int, batch: int, axes: Axes, shapes: Shapes, constants: Constants
) -> dict[int, NDArray[np.generic]]:
    """Return, by its number, each input of `node` that several images need another constant for."""
    output, operator = shapes[node.output[0]], node.op_type
    at = SHAPED.get(operator, len(node.input))
    if at < len(node.input):
        return {at: np.array(_widened(output, axis, batch), np.int64)}
    if operator == "Gather" and node.input[0] in axes and axes[node.input[0]] == axis == _axis_of(node, shapes):
        rows, indices = shapes[node.input[0]][axis], constants[node.input[1]]
        return {1: np.concatenate([indices % rows + image * rows for image in range(batch)]).astype(indices.dtype)}
    aligned = operator in ALIGNED and not (operator == "MatMul" and axis >= len(output) - 2)  # rows are no operand's
    found = {}
    for number, name in enumerate(node.input):
        if aligned and name in constants:
            own = axis + constants[name].ndim - len(output)
            if own >= 0 and constants[name].shape[own] == output[axis] and (output[axis] > 1 or operator == "Concat"):
                found[number] = np.concatenate([constants[name]] * batch, axis=own)
    return found


def _axis_of(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Return the axis that a Gather gathers along."""
    return int(attributes_of(node).get("axis", 0)) % len(shapes[node.input[0]])
