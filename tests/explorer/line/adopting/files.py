"""Small networks as ONNX files, written node by node: what other exporters than the explorer's write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CLASSES = 10
CHANNELS = 4
GREY = (1, 8, 8)  # channels, height and width of the digits
Node = tuple[str, Sequence[str], Mapping[str, Any]]  # operator, inputs and attributes; its output has its index as name

# A convolution, its mean over the image, and a linear layer.
TAIL: tuple[Node, ...] = (
    ("Conv", ("x", "stem.weight"), {"pads": [1, 1, 1, 1]}),
    ("Relu", ("0",), {}),
    ("GlobalAveragePool", ("1",), {}),
    ("Flatten", ("2",), {}),
    ("Gemm", ("3", "head.weight", "head.bias"), {"transB": 1}),
)


def weights(channels: int = 1, seed: int = 0) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    shapes = {"stem.weight": (CHANNELS, channels, 3, 3), "head.weight": (CLASSES, CHANNELS), "head.bias": (CLASSES,)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def network(
    nodes: Sequence[Node] = TAIL,
    image: Sequence[int | str] = ("n", *GREY),
    constants: Mapping[str, NDArray[Any]] | None = None,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    outputs: Sequence[str] = (),
    inputs: Sequence[str] = ("x",),
) -> onnx.ModelProto:
    """Return a network whose node of index i gives the tensor of that name."""
    made = [
        helper.make_node(kind, list(names), [str(index)], name=f"node{index}", **attributes)
        for index, (kind, names, attributes) in enumerate(nodes)
    ]
    held = weights() if constants is None else constants
    graph = helper.make_graph(
        made,
        "network",
        [helper.make_tensor_value_info(name, dtype, image) for name in inputs],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs or [str(len(nodes) - 1)]],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def later(nodes: Sequence[Node], by: int = 1) -> list[Node]:
    """Return nodes whose inputs that are other nodes' outputs have indices higher by `by`."""
    return [
        (kind, tuple(str(int(name) + by) if name.isdigit() else name for name in names), attributes)
        for kind, names, attributes in nodes
    ]


def save(folder: Path, model: onnx.ModelProto | None = None, name: str = "net.onnx", *, beside: bool = False) -> Path:
    """Write a network, by default that of `network`, perhaps with its weights in a file beside it."""
    path = folder / name
    options: dict[str, Any] = {"save_as_external_data": True, "location": f"{name}.data", "size_threshold": 0}
    onnx.save(model or network(), path, **(options if beside else {}))
    return path
