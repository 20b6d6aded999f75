"""Small QDQ networks for the tests, written as quantizers write them, with the integers that they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks


class Scale:
    """One scale and uint8 zero point of a tensor."""

    def __init__(self, scale: float, zero: int) -> None:
        self.scale, self.zero = np.float32(scale), zero

    def real(self, integers: NDArray[Any]) -> networks.Array:
        """Return the floats that `integers` stand for."""
        return (integers - self.zero).astype(np.float32) * self.scale

    def integers(self, floats: networks.Array) -> NDArray[np.int64]:
        """Return the integers that stand for `floats`, which they do exactly."""
        return np.rint(floats.astype(np.float64) / self.scale).astype(np.int64) + self.zero

    def quantized(self, floats: networks.Array) -> NDArray[np.int64]:
        """Return what ONNX's QuantizeLinear makes of `floats`."""
        return reference.quantize(floats, float(self.scale), self.zero)


class Network:
    """A QDQ network under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Any] = {}

    def pair(self, name: str, scale: Scale, dtype: Any = np.uint8) -> str:
        """Quantize and dequantize tensor `name`; return the name of the result."""
        shift = 0 if dtype == np.uint8 else 128
        self.weights |= {f"{name}_s": np.asarray(scale.scale), f"{name}_z": np.asarray(scale.zero - shift, dtype)}
        self.nodes.append(helper.make_node("QuantizeLinear", [name, f"{name}_s", f"{name}_z"], [f"{name}_q"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_s", f"{name}_z"], [f"{name}_dq"]))
        return f"{name}_dq"

    def constant(self, name: str, integers: NDArray[Any], scale: networks.Array, axis: int = 0) -> str:
        """Dequantize `integers` along `axis`; return the name of the result."""
        names = [f"{name}_quantized", f"{name}_s", f"{name}_z"]
        self.weights |= dict(zip(names, (integers, scale, np.zeros(scale.shape, integers.dtype)), strict=True))
        self.nodes.append(helper.make_node("DequantizeLinear", names, [f"{name}_dq"], axis=axis))
        return f"{name}_dq"

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def conv(self, conv: Conv, data: str, output: str, layer: Layer) -> str:
        """Convolve `data` with the layer's weights and bias."""
        weight = self.constant(f"{output}_w", layer.weight, layer.scale)
        bias = self.constant(f"{output}_b", layer.bias, layer.bias_scale)
        self.nodes.append(networks.conv_node(conv, [data, weight, bias], output))
        return output

    def model(self, shape: Sequence[int], output: str) -> onnx.ModelProto:
        return networks.model(self.nodes, shape, self.weights, output)


class Layer:
    """Random weights and bias of a convolution, and the integers that it computes.

    Attributes
    ----------
    output : a scale that spreads the convolution's sums over 8 bits
    """

    def __init__(self, conv: Conv, data: NDArray[Any], data_scale: Scale, seed: int, zero: int) -> None:
        rng = np.random.default_rng(seed)
        self.weight = rng.integers(-128, 128, (conv.out_channels, conv.group_channels, *conv.kernel)).astype(np.int8)
        self.scale = rng.uniform(0.001, 0.02, conv.out_channels).astype(np.float32)
        self.bias_scale = data_scale.scale * self.scale
        sums = reference.conv2d_sums(data, data_scale.zero, self.weight, conv)
        spread = max(1, int(sums.std()))
        self.bias = rng.integers(-spread, spread + 1, conv.out_channels).astype(np.int32)
        self.sums = sums + self.bias[:, None, None]
        self.output = Scale(max(spread * float(self.bias_scale.mean()) / 40, 1e-6), zero)

    def integers(self, relu: bool) -> NDArray[np.int64]:
        """Return the requantized sums."""
        factor = (self.bias_scale / self.output.scale).astype(np.float32)[:, None, None]
        return reference.requantize(self.sums, factor, self.output.zero, self.output.zero if relu else 0)
