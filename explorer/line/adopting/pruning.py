"""ONNX network and a ratio → the same with that share of its weights zero, those of least magnitude or LAMP score.

It is `explorer.compression.weight_pruning` in NumPy, since a worker that runs networks with TVM does without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, inf

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from explorer.core import plugins
from explorer.line.adopting import costs

Array = NDArray[np.float32]


def pruned(network: onnx.ModelProto, ratio: float, scores: str) -> onnx.ModelProto:
    """Return `network` with the weights of least score over all layers together zero.

    Parameters
    ----------
    ratio
        Share of the weights of all convolutions and linear layers.
    scores
        Name in `SCORES` of what ranks them.
    """
    found = costs.weights(network)
    ranked = np.concatenate([SCORES[scores](weight, 1 - ratio).ravel() for weight in found.values()])
    count = round(ratio * ranked.size)
    removed = np.zeros(ranked.size, bool)
    removed[np.argsort(ranked, kind="stable")[:count]] = True
    result = onnx.ModelProto()
    result.CopyFrom(network)
    first = 0
    tensors = {tensor.name: tensor for tensor in result.graph.initializer}
    for name, weight in found.items():
        own = removed[first : first + weight.size].reshape(weight.shape)
        tensors[name].CopyFrom(numpy_helper.from_array(np.where(own, np.float32(0), weight), name))
        first += weight.size
    return result


def lamp(weight: Array, left: float) -> Array:
    """Return each weight's square over the sum of the squares in its layer that are not smaller."""
    squares = np.square(weight.ravel())
    order = np.argsort(squares, kind="stable")
    remaining = squares[order][::-1].cumsum()[::-1]
    found = np.empty_like(squares)
    found[order] = squares[order] / np.maximum(remaining, np.finfo(np.float32).tiny)
    return found


def magnitudes(weight: Array, left: float) -> Array:
    """Return each weight's magnitude, infinite for the largest, which the layer keeps where `left` of all are kept."""
    found = np.abs(weight.ravel())
    floor: float = plugins.literal("compression", "weight_pruning", "FLOOR")
    found[np.argsort(-found, kind="stable")[: ceil(floor * left * found.size)]] = inf
    return found


SCORES: Mapping[str, Callable[[Array, float], Array]] = {"l1": magnitudes, "lamp": lamp}
