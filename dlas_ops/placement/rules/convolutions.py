"""Convolutions of floats → the algorithm asked for or the one that runs in its place, in the layout it wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

from dlas_ops._types import Array, Attributes, Call, Shape
from dlas_ops.kernels.operators import depthwise, grouped
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared.blocks import NARROW
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.account import Precision
from dlas_ops.placement.context import Context
from dlas_ops.placement.graph import Problem, problem_of
from dlas_ops.placement.rules.attributes import pair, sides
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value
from dlas_ops.processor import half

# Runs the ungrouped convolutions that the algorithm asked for cannot run.
FALLBACK = "spatial_pack"


@dataclass(frozen=True)
class Convolution:
    """A convolution to be placed.

    Attributes
    ----------
    name : name of the layer
    shape : shape of the result
    border : the value that lies around the input: the zero point of integers
    """

    name: str
    conv: Conv
    data: Value
    weight: Array
    shape: Shape
    border: int = 0


@places("relax.nn.conv2d")
def conv2d(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a convolution on the chosen algorithm, a depthwise or grouped one on its own schedule."""
    data, weight = context.value(call.args[0]), context.value(call.args[1]).constant
    if weight is None or call.attrs.data_layout != "NCHW":
        return None
    quantized = any(context.held(argument).quantization for argument in call.args[:2])
    reason = "int8 takes activations of one scale and int8 weights without zero point" if quantized else ""
    conv = conv_of(call.attrs, data.shape, weight)
    name = context.name(conv.operator, context.held(call.args[1]).constant)
    return convolved(context, Convolution(name, conv, data, weight, shape), reason)


def convolved(context: Context, layer: Convolution, reason: str = "", **precision: Unpack[Precision]) -> Value:
    """Convolve on the algorithm asked for, or on the one that runs in its place, and account for the layer.

    Parameters
    ----------
    reason : why the layer does not run in the dtype asked for
    precision : the account's dtype and arithmetic for integers
    """
    name, conv, weight = layer.name, layer.conv, layer.weight
    dtype = context.stored(weight)
    asked = context.choices.of(name)
    if problem := problem_of(conv, weight, dtype, asked.format, context.target, plain=not layer.data.block):
        context.recorder.decides(name, problem)
    ran, reasons = _runnable(context, asked, conv, dtype)
    if reason:
        reasons.append(reason)
    if ran is not None:
        value = _placed(context, ran, layer)
    elif conv.operator == "depthwise_conv2d":
        value = _depthwise(context, layer)
    else:
        value = _grouped(context, layer)
    if dtype in NARROW:
        precision = _precision(context, dtype, ran, conv)
    own = f"{conv.operator.removesuffix('_conv2d')}/dense"
    context.account(
        conv.operator, layer.data.shape, weight.shape, layer.shape, name=name, macs=conv.macs, stride=conv.stride,
        padding=conv.padding, dilation=conv.dilation, groups=conv.groups, asked=asked.selected_by or str(asked),
        ran=str(ran or own), reason="; ".join(reasons), measured=context.choices.measured.get(name, {}), **precision,
    )  # fmt: skip
    return value


def _runnable(context: Context, asked: Asked, conv: Conv, dtype: str) -> tuple[Asked | None, list[str]]:
    """Return the algorithm that runs `conv`: as asked, else dense, else the fallback; and why not as asked."""
    reasons: list[str] = []
    format = Asked.parse(asked.selected_by or str(asked)).format
    for candidate in (Asked(asked.algorithm, format), Asked(asked.algorithm)):
        reason = candidate.why_not(conv, dtype, context.target)
        if reason is None:
            return candidate, reasons
        # No reason where there was nothing to select from: a layer that only one algorithm runs dense runs as asked.
        if reason not in reasons and not (asked.selected_by and candidate.format == "dense"):
            reasons.append(reason)
    fallback = Asked(FALLBACK)
    return (None if fallback.why_not(conv, dtype, context.target) else fallback), reasons


def _placed(context: Context, asked: Asked, layer: Convolution) -> Value:
    conv, data, algorithm = layer.conv, layer.data, asked.module
    # Algorithms that do not implement integers know no border but zeros.
    inside = {"border": layer.border} if layer.border else {}
    # Weights are rounded first, because their dtype decides how they are packed: float16 in pairs where the processor
    # multiplies pairs.
    packed = algorithm.pack(context.rounded(layer.weight), conv, context.cpu)
    parts = [context.weights(part) for part in (packed if isinstance(packed, tuple) else (packed,))]
    wanted = algorithm.block(conv.in_channels, context.cpu)
    # The algorithm itself blocks a plain input, the network's own, together with its border.
    source = context.blocked(data, wanted, layer.name) if data.block else data.expression
    result = context.emit(
        lambda x, *w: algorithm.compute(conv, x, *w, context.cpu, **inside), source, *parts,
        name=f"conv2d_{asked.algorithm}",
    )  # fmt: skip
    return context.computed(result, layer.shape, algorithm.block(conv.out_channels, context.cpu), layer.name)


def _precision(context: Context, dtype: str, ran: Asked | None, conv: Conv) -> Precision:
    """Return dtype and arithmetic of a convolution that computes in the narrow `dtype`; nothing if in float32."""
    depthwise_conv = ran is None and conv.operator == "depthwise_conv2d"
    if dtype == "bfloat16":
        return {} if depthwise_conv else context.of_products(dtype)
    if ran is not None and context.cpu.half and getattr(ran.module, "HALF", False):
        return {"dtype": dtype, "arithmetic": half.ARITHMETIC}
    in_half = depthwise_conv and depthwise.in_half(conv, dtype, context.cpu)
    return {"dtype": dtype, "arithmetic": dtype} if in_half else {}


def _depthwise(context: Context, layer: Convolution) -> Value:
    conv, data = layer.conv, layer.data
    block = context.block(conv.in_channels, data)
    context.recorder.follows(data, Problem(conv.operator, conv, dtype=context.stored(layer.weight)))
    packed = context.weights(depthwise.pack(layer.weight, -(-conv.in_channels // block), block))
    source = context.blocked(data, block, data.layer)
    result = context.emit(
        lambda x, w: depthwise.compute(conv, x, w, context.cpu, layer.border), source, packed, name="depthwise_conv2d"
    )
    return context.computed(result, layer.shape, block, data.layer)


def _grouped(context: Context, layer: Convolution) -> Value:
    conv, data = layer.conv, layer.data
    packed = context.weights(grouped.pack(context.rounded(layer.weight), conv, context.cpu))
    block = context.block(conv.out_channels)
    source = context.plain(data) if data.block == POINTS else data.expression
    result = context.emit(
        lambda x, w: grouped.compute(conv, x, w, block, context.cpu, layer.border), source, packed,
        name="grouped_conv2d",
    )  # fmt: skip
    return context.computed(result, layer.shape, block)


def conv_of(attributes: Attributes, data: Shape, weight: Array) -> Conv:
    """Return the shape of the convolution of `data` with `weight`."""
    batch, channels, height, width = data
    outputs, _, *kernel = weight.shape
    return Conv(
        batch, channels, height, width, outputs, pair(kernel), pair(attributes.strides), sides(attributes.padding),
        pair(attributes.dilation), int(attributes.groups),
    )  # fmt: skip
