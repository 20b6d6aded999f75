"""Operator, and the axis that the images of its inputs lie along → the axis of its outputs' images.

Several images lie one after the other along one axis of each tensor: a tensor of shape (3, 49, 64) for one image is of
(3, 4 * 49, 64) for four where that axis is 1. An operator that would mix images has no such axis.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from dlas_ops.onnx.reading import attributes_of

Shape: TypeAlias = tuple[int, ...]
Axes: TypeAlias = Mapping[str, int]  # of the tensors that are computed of images
Shapes: TypeAlias = Mapping[str, Shape]  # of all tensors, for one image
Constants: TypeAlias = Mapping[str, NDArray[Any]]

# Operators that combine elements along one axis, although shapes can stay what they are; and the axis unless stated.
ALONG_AXIS = {
    "Concat": 0,
    "Split": 0,
    "Softmax": -1,
    "LogSoftmax": -1,
    "Hardmax": -1,
    "LpNormalization": -1,
    "TopK": -1,
}

# Operators that combine elements along an axis and all after it.
FROM_AXIS = ("LayerNormalization", "RMSNormalization")

# Operators that take their images from the first axis, and combine elements along others.
FIRST_AXIS = (
    "Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "DepthToSpace", "SpaceToDepth", "GridSample", "LRN",
    "AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "Resize", "Upsample",
    "BatchNormalization", "InstanceNormalization", "GroupNormalization",
)  # fmt: skip

# Operators that combine elements along an axis which is not told by shapes: no network with them is for several images.
UNKNOWN = (
    "RNN", "LSTM", "GRU", "Scan", "Loop", "If", "ReverseSequence", "CumSum", "MeanVarianceNormalization", "Trilu",
)  # fmt: skip


def followed(node: onnx.NodeProto, axes: Axes, shapes: Shapes, constants: Constants) -> int | None:
    """Return the axis of the images of what `node` computes; None if it mixes images.

    The axis is right if the operator's output, for several images, has the shape of `shapes` but for this axis, which
    is as many times as long: shapes alone do not tell that images stay in their order, nor that they are not mixed.
    """
    operator, stated = node.op_type, attributes_of(node)
    source = next(name for name in node.input if name in axes)
    axis, one, output = axes[source], shapes[source], shapes[next(name for name in node.output if name)]
    if operator in UNKNOWN or (
        operator in FIRST_AXIS and (axis != 0 or source != node.input[0] or stated.get("transA"))
    ):
        return None
    if operator == "Transpose":
        return list(stated.get("perm", range(len(one))[::-1])).index(axis)
    if operator in ("Reshape", "Flatten"):
        return _same_place(axis, one, output)
    if operator == "Unsqueeze":
        added = {each % len(output) for each in _axes_of(node, constants, ())}
        return [each for each in range(len(output)) if each not in added][axis]
    if operator == "Squeeze":
        ones = [each for each, size in enumerate(one) if size == 1]
        return _without(axis, {each % len(one) for each in _axes_of(node, constants, ones)})
    if operator.startswith("Reduce") or operator in ("ArgMax", "ArgMin"):
        named = [stated.get("axis", 0)] if operator.startswith("Arg") else _axes_of(node, constants, range(len(one)))
        reduced = {each % len(one) for each in named}
        kept = _without(axis, reduced)
        return axis if kept is not None and stated.get("keepdims", 1) else kept
    if operator == "Gather":
        return _gathered(stated.get("axis", 0), node.input[0], node.input[1], axes, shapes, constants)
    if axis in _combined(node, one, output, constants):
        return None
    # An operator of single elements, or of matrices: shapes are held against each other from their last axes on.
    found = {axes[name] + len(output) - len(shapes[name]) for name in node.input if name in axes}
    return found.pop() if len(found) == 1 and min(found) >= 0 else None


def _combined(node: onnx.NodeProto, one: Shape, output: Shape, constants: Constants) -> Collection[int]:
    """Return the axes along which an operator that keeps its input's rank combines, moves or repeats elements."""
    rank, stated = len(one), attributes_of(node)
    if node.op_type in ALONG_AXIS:
        return {int(stated.get("axis", ALONG_AXIS[node.op_type])) % rank}
    if node.op_type in FROM_AXIS:
        return range(int(stated.get("axis", -1)) % rank, rank)
    if node.op_type not in ("Slice", "Tile", "Pad"):
        return ()
    changed = [each for each in range(rank) if one[each] != output[each]]
    if node.op_type == "Slice":
        steps = constants.get(node.input[4], np.array([-1])) if len(node.input) > 4 else np.array([1])
        named = constants.get(node.input[3], np.arange(rank)) if len(node.input) > 3 else np.arange(rank)
        return [*changed, *(int(each) % rank for each, step in zip(named, steps, strict=False) if step < 0)]
    return changed


def _gathered(along: int, data: str, indices: str, axes: Axes, shapes: Shapes, constants: Constants) -> int | None:
    """Return the axis of what is gathered `along` an axis of `data`: the output has the indices' axes in its place."""
    along, rank = along % len(shapes[data]), len(shapes[indices])
    if indices in axes:
        return along + axes[indices] if data not in axes else None
    axis = axes[data]
    if axis == along:  # indices of one image, which several images need once for each
        return axis if indices in constants and rank else None
    return axis if axis < along else axis + rank - 1


def _axes_of(node: onnx.NodeProto, constants: Constants, default: Sequence[int]) -> Sequence[int]:
    """Return the axes that an operator names, as an attribute or as its second input."""
    if len(node.input) > 1 and node.input[1] in constants:
        return [int(each) for each in constants[node.input[1]].ravel()]
    stated: Sequence[int] = attributes_of(node).get("axes", default)
    return stated


def _without(axis: int, removed: Collection[int]) -> int | None:
    """Return where `axis` lies once others are removed; None if it is one of them."""
    return None if axis in removed else axis - sum(each < axis for each in removed)


def _same_place(axis: int, one: Shape, other: Shape) -> int | None:
    """Return the axis of a tensor of another shape that has the same number of elements from one entry to the next."""
    outer = math.prod(one[:axis])
    places = [each for each in range(len(other)) if math.prod(other[:each]) == outer]
    return places[0] if places else None
