"""ONNX network or operator → its inputs, its constants, or its attributes, as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes that `node` states, by name."""
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def constants_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the initializers and what Constant operators hold, by name."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            held = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
            found[node.output[0]] = held
    return found


def inputs_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return what is given to every run: the inputs that are no initializers."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [source for source in model.graph.input if source.name not in constants]
