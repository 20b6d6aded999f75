"""NumPy arrays → what the tensor programs must compute, straight from the definitions and slow."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dlas_ops.convolution import Conv

Array = NDArray[np.float32]


def conv2d(data: Array, weight: Array, conv: Conv) -> Array:
    """Return the convolution of `data` (NCHW) with `weight` (OIHW, I channels per group), summed in float64."""
    windows = _windows(data, conv, 0.0)
    outputs = conv.out_channels // conv.groups
    groups = []
    for group in range(conv.groups):
        inputs = windows[:, group * conv.group_channels : (group + 1) * conv.group_channels]
        filters = weight[group * outputs : (group + 1) * outputs]
        groups.append(np.einsum("nchwij,ocij->nohw", inputs.astype(np.float64), filters.astype(np.float64)))
    return np.concatenate(groups, axis=1).astype(np.float32)


def max_pool2d(data: Array, window: Conv) -> Array:
    """Return the maximum over each window of `data` (NCHW); the border never wins."""
    return np.asarray(_windows(data, window, -np.inf).max(axis=(-2, -1)))


def avg_pool2d(data: Array, window: Conv, count_padding: bool = False) -> Array:
    """Return the average over each window of `data` (NCHW), over the border too if `count_padding`."""
    total = _windows(data, window, 0.0).sum(axis=(-2, -1))
    counts = _windows(np.ones_like(data), window, 1.0 if count_padding else 0.0).sum(axis=(-2, -1))
    return np.asarray(total / counts)


def dense(data: Array, weight: Array) -> Array:
    """Return `data` (rows, inputs) times the transpose of `weight` (outputs, inputs), summed in float64."""
    return (data.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.float32)


def _windows(data: Array, conv: Conv, border: float) -> Array:
    """Return the inputs of every output point, as (batch, channel, row, column, kernel row, kernel column)."""
    top, left, bottom, right = conv.padding
    wide = np.pad(data, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=border)
    windows = sliding_window_view(wide, conv.extent, axis=(2, 3))
    return windows[:, :, :: conv.stride[0], :: conv.stride[1], :: conv.dilation[0], :: conv.dilation[1]]
