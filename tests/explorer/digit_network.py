"""A small network that reads the digits, as ONNX."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 8
FIRST, SECOND, LAST = "first.weight", "second.weight", "last.weight"  # layers


def network(first_stride: int = 1) -> onnx.ModelProto:
    """Return two convolutions, the second of stride 2, and a linear layer, for one image of the digits."""
    random = np.random.default_rng(0)
    shapes = {FIRST: (CHANNELS, 1, 3, 3), SECOND: (CHANNELS, CHANNELS, 3, 3), LAST: (10, CHANNELS)}
    weights = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node(
            "Conv", ["image", FIRST], ["a"], kernel_shape=[3, 3], pads=[1] * 4, strides=[first_stride] * 2
        ),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", SECOND], ["c"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", LAST], ["logits"], transB=1),
    ]
    image, logits = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 1, 8, 8]), ("logits", [1, 10]))
    )
    graph = helper.make_graph(
        nodes, "network", [image], [logits], [numpy_helper.from_array(weights[n], n) for n in weights]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True)
