"""OIHW weights → the same, their channels in whole vectors and groups: what every algorithm's packing begins with."""

from __future__ import annotations

import numpy as np

from dlas_ops.processor.dot import Dot


def in_vectors(weight: np.ndarray, lanes: int) -> np.ndarray:
    """Return `weight`, (O, I, H, W), as (output block, `lanes`, I, H, W), the last block filled with zeros."""
    blocks = -(-weight.shape[0] // lanes)
    filled = np.zeros((blocks * lanes, *weight.shape[1:]), weight.dtype)
    filled[: weight.shape[0]] = weight
    return filled.reshape(blocks, lanes, *weight.shape[1:])


def in_panels(weight: np.ndarray, lanes: int, dot: Dot) -> np.ndarray:
    """Return `weight`, (O, I, H, W), as (output block, H, W, input group, output channel, input channel in the group).

    A group is the input channels that the processor's instruction sums into one lane, the last one filled with zeros;
    weights that it takes one at a time, floats, have no last axis.
    """
    vectors = in_vectors(weight, lanes).astype(dot.weight)
    blocks, _, depth, height, width = vectors.shape
    groups = -(-depth // dot.values)
    filled = np.zeros((blocks, lanes, groups * dot.values, height, width), vectors.dtype)
    filled[:, :, :depth] = vectors
    split = filled.reshape(blocks, lanes, groups, dot.values, height, width).transpose(0, 4, 5, 2, 1, 3)
    return np.ascontiguousarray(split if dot.values > 1 else split[..., 0])
