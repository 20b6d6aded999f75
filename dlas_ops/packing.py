"""OIHW weights → the same, their output channels in whole vectors: what every algorithm's packing begins with."""

from __future__ import annotations

import numpy as np


def in_vectors(weight: np.ndarray, lanes: int) -> np.ndarray:
    """Return `weight`, (O, I, H, W), as (output block, `lanes`, I, H, W), the last block filled with zeros."""
    blocks = -(-weight.shape[0] // lanes)
    filled = np.zeros((blocks * lanes, *weight.shape[1:]), weight.dtype)
    filled[: weight.shape[0]] = weight
    return filled.reshape(blocks, lanes, *weight.shape[1:])
