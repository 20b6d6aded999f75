"""NumPy arrays → what the tensor programs must compute, straight from the definitions and slow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dlas_ops.kernels.shared.convolution import Conv

Array = NDArray[np.float32]
Integers = NDArray[np.int64]


def conv2d(data: Array, weight: Array, conv: Conv) -> Array:
    """Return the convolution of `data` (NCHW) with `weight` (OIHW, I channels per group), summed in float64."""
    return _conv2d(data, weight, conv, 0.0).astype(np.float32)


def conv2d_sums(data: NDArray[Any], zero: int, weight: NDArray[Any], conv: Conv) -> Integers:
    """Return the exact convolution of `data` less its `zero` point, which lies around it, with `weight`: integers."""
    return _conv2d(data.astype(np.float64) - zero, weight, conv, 0.0).astype(np.int64)


def quantize(data: Array, scale: float, zero: int, low: int = 0, high: int = 255) -> Integers:
    """Return `data` / `scale` rounded, a half to even, plus `zero`, saturated: ONNX's QuantizeLinear."""
    rounded = np.rint(data.astype(np.float32) / np.float32(scale))
    return np.asarray(np.clip(rounded + zero, low, high), np.int64)


def requantize(sums: Integers, factor: Array, zero: int, low: int = 0, high: int = 255) -> Integers:
    """Return exact `sums` times `factor`, in float32, rounded, a half to even, plus `zero`, saturated."""
    rounded = np.rint(sums.astype(np.float32) * factor.astype(np.float32))
    return np.asarray(np.clip(rounded + zero, low, high), np.int64)


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


def _conv2d(data: NDArray[Any], weight: NDArray[Any], conv: Conv, border: float) -> NDArray[np.float64]:
    windows = _windows(data, conv, border)
    outputs = conv.out_channels // conv.groups
    groups = []
    for group in range(conv.groups):
        inputs = windows[:, group * conv.group_channels : (group + 1) * conv.group_channels]
        filters = weight[group * outputs : (group + 1) * outputs]
        groups.append(np.einsum("nchwij,ocij->nohw", inputs.astype(np.float64), filters.astype(np.float64)))
    return np.concatenate(groups, axis=1)


def _windows(data: NDArray[Any], conv: Conv, border: float) -> NDArray[Any]:
    """Return the inputs of every output point, as (batch, channel, row, column, kernel row, kernel column)."""
    top, left, bottom, right = conv.padding
    wide = np.pad(data, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=border)
    windows = sliding_window_view(wide, conv.extent, axis=(2, 3))
    return windows[:, :, :: conv.stride[0], :: conv.stride[1], :: conv.dilation[0], :: conv.dilation[1]]
