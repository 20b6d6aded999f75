"""Relax operator → how `placement` runs it: on the chosen algorithm or a schedule of its own, in blocked layout."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import dense, depthwise, grouped, layout, pooling
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared.activations import ACTIVATIONS
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Problem, problem_of
from dlas_ops.placement.value import Value
from dlas_ops.processor import half

if TYPE_CHECKING:
    from dlas_ops.placement.walk import Placement

relax, te, topi, tirx = tvm.relax, tvm.te, tvm.topi, tvm.tirx

Rule = Callable[["Placement", Any, tuple[int, ...]], "Value | None"]

# Runs the ungrouped convolutions that the algorithm asked for cannot.
FALLBACK = "spatial_pack"

# Operators that mean the same on NCHW and on channel blocks.
ELEMENTWISE = {"relax." + name for name in (
    "nn.relu", "nn.leakyrelu", "clip", "sqrt", "rsqrt", "negative", "abs",
    "add", "subtract", "multiply", "divide", "maximum", "minimum",
)}  # fmt: skip

# What the importer leaves to compute on constants: bounds of Clip, biases, transposed weights.
FOLDED: dict[str, Callable[..., Any]] = {
    "relax.isnan": lambda call, x: np.isnan(x),
    "relax.where": lambda call, *arrays: np.where(*arrays),
    "relax.reshape": lambda call, x: x,
    "relax.expand_dims": lambda call, x: x,
    "relax.permute_dims": lambda call, x: x.transpose(call.attrs.axes and [int(axis) for axis in call.attrs.axes]),
}


def conv2d(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Run a convolution on the chosen algorithm, a depthwise or grouped one on its own schedule."""
    data, weight = place.value(call.args[0]), place.value(call.args[1]).constant
    if weight is None or call.attrs.data_layout != "NCHW":
        return None
    quantized = any(place.held(argument).quantization for argument in call.args[:2])
    reason = "int8 takes activations of one scale and int8 weights without zero point" if quantized else ""
    conv = conv_of(call.attrs, data.shape, weight)
    name = place.name(conv.operator, place.held(call.args[1]).constant)
    return convolved(place, name, conv, data, weight, shape, reason=reason)


def convolved(
    place: Placement,
    name: str,
    conv: Conv,
    data: Value,
    weight: Any,
    shape: tuple[int, ...],
    border: int = 0,
    reason: str = "",
    **fields: Any,
) -> Value:
    """Convolve on the algorithm asked for, or on what runs in its place, and account for it.

    Parameters
    ----------
    border : what lies around the input: the zero point of integers
    reason : why it does not run in the dtype asked for
    fields : further fields of the account
    """
    dtype = place.stored(weight)
    asked = place.choices.of(name)
    if problem := problem_of(conv, weight, dtype, asked.format, place.target, plain=not data.block):
        place.recorder.decides(name, problem)
    ran, reasons = _runnable(place, asked, conv, dtype)
    if reason:
        reasons.append(reason)
    if ran is not None:
        value = _placed(place, ran, name, conv, data, weight, shape, border)
    elif conv.operator == "depthwise_conv2d":
        value = _depthwise(place, conv, data, weight, shape, border)
    else:
        value = _grouped(place, conv, data, weight, shape, border)
    if dtype == "float16" and (arithmetic := _arithmetic(place, ran, conv)):
        fields |= {"dtype": dtype, "arithmetic": arithmetic}
    own = f"{conv.operator.removesuffix('_conv2d')}/dense"
    place.account(
        conv.operator, data.shape, weight.shape, shape, name=name, macs=conv.macs, stride=conv.stride,
        padding=conv.padding, dilation=conv.dilation, groups=conv.groups, asked=asked.selected_by or str(asked),
        ran=str(ran or own), reason="; ".join(reasons), measured=place.choices.measured.get(name, {}), **fields,
    )  # fmt: skip
    return value


def _runnable(place: Placement, asked: Asked, conv: Conv, dtype: str) -> tuple[Asked | None, list[str]]:
    """Return what runs `conv`: as asked, else dense, else what every other one falls back to; and why not as asked."""
    reasons: list[str] = []
    format = Asked.parse(asked.selected_by or str(asked)).format
    for candidate in (Asked(asked.algorithm, format), Asked(asked.algorithm)):
        reason = candidate.why_not(conv, dtype, place.target)
        if reason is None:
            return candidate, reasons
        # What was not selected because there is one way to run it dense runs as well as was asked.
        if reason not in reasons and not (asked.selected_by and candidate.format == "dense"):
            reasons.append(reason)
    fallback = Asked(FALLBACK)
    return (None if fallback.why_not(conv, dtype, place.target) else fallback), reasons


def _placed(
    place: Placement, asked: Asked, name: str, conv: Conv, data: Value, weight: Any, shape: tuple[int, ...], border: int
) -> Value:
    algorithm = asked.module
    # Algorithms that do not implement integers know no border but zeros.
    inside = {"border": border} if border else {}
    # Their dtype decides how they are packed: float16 in pairs where it is multiplied so.
    packed = algorithm.pack(place.rounded(weight), conv, place.cpu)
    parts = [place.weights(part) for part in (packed if isinstance(packed, tuple) else (packed,))]
    wanted = algorithm.block(conv.in_channels, place.cpu)
    # A plain input, the network's own, is blocked by the algorithm itself, together with its border.
    source = place.blocked(data, wanted, name) if data.block else data.expression
    result = place.emit(
        lambda x, *w: algorithm.compute(conv, x, *w, place.cpu, **inside), source, *parts,
        name=f"conv2d_{asked.algorithm}",
    )  # fmt: skip
    return place.computed(result, shape, algorithm.block(conv.out_channels, place.cpu), name)


def _in_half(algorithm: Any) -> bool:
    """Tell whether an algorithm multiplies float16 in float16 where the processor can."""
    return bool(getattr(algorithm, "HALF", False))


def _arithmetic(place: Placement, ran: Asked | None, conv: Conv) -> str:
    """Return what the account says of a convolution that computes in float16, or ""."""
    if ran is not None:
        return half.ARITHMETIC if place.cpu.half and _in_half(ran.module) else ""
    depthwise_half = conv.operator == "depthwise_conv2d" and depthwise.in_half(conv, "float16", place.cpu)
    return "float16" if depthwise_half else ""


def _depthwise(place: Placement, conv: Conv, data: Value, weight: Any, shape: tuple[int, ...], border: int) -> Value:
    block = place.block(conv.in_channels, data)
    place.recorder.follows(data, Problem(conv.operator, conv, dtype=place.stored(weight)))
    packed = place.weights(depthwise.pack(weight, -(-conv.in_channels // block), block))
    source = place.blocked(data, block, data.layer)
    result = place.emit(
        lambda x, w: depthwise.compute(conv, x, w, place.cpu, border), source, packed,
        name="depthwise_conv2d",
    )  # fmt: skip
    return place.computed(result, shape, block, data.layer)


def _grouped(place: Placement, conv: Conv, data: Value, weight: Any, shape: tuple[int, ...], border: int) -> Value:
    packed = place.weights(grouped.pack(weight, conv, place.cpu))
    block = place.block(conv.out_channels)
    source = place.plain(data) if data.block == POINTS else data.expression
    result = place.emit(
        lambda x, w: grouped.compute(conv, x, w, block, place.cpu, border), source, packed, name="grouped_conv2d"
    )
    return place.computed(result, shape, block)


def matmul(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Run a dense layer with packed weights."""
    data, weight = place.value(call.args[0]), place.value(call.args[1]).constant
    if weight is None or weight.ndim != 2 or len(data.shape) != 2:
        return None
    packed = place.weights(dense.pack(weight, place.cpu))
    result = place.emit(lambda x, w: dense.compute(x, w, shape[1], place.cpu), place.plain(data), packed, name="dense")
    place.account(
        "dense", data.shape, weight.shape[::-1], shape, ran="dense", macs=prod(shape) * weight.shape[0],
        name=place.name("dense", place.held(call.args[1]).constant),
    )  # fmt: skip
    return place.computed(result, shape)


def batch_norm(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Run a batch norm that no convolution took in as one multiplication and one addition."""
    data = place.value(call.args[0])
    gamma, beta, mean, variance = (place.value(argument).constant for argument in call.args[1:5])
    if gamma is None or beta is None or mean is None or variance is None or int(call.attrs.axis) != 1:
        return None
    scale = gamma / np.sqrt(variance + float(call.attrs.epsilon))
    column = (-1, *[1] * (len(data.shape) - 2))
    factors = [_constant((scale).reshape(column)), _constant((beta - mean * scale).reshape(column))]
    arguments, block, layer = place.alike([data, *factors], data.shape)
    x, a, b = arguments or [place.wide(data), *(factor.expression for factor in factors)]
    scaled = place.builder.emit(relax.op.multiply(x, a))
    return place.computed(relax.op.add(scaled, b), data.shape, block, layer)


def tuple_item(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Take the first output of a batch norm, the only one at inference, from the value that stands for all."""
    value = place.values.get(call.tuple_value)
    return value if value is not None and call.index == 0 and value.shape == shape else None


def clip_bound(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Take a maximum or minimum with a scalar, which the importer makes of Clip, as an element-wise operator."""
    data, *bounds = call.args[1].fields
    operator = extremum(place.module[call.args[0]])
    if operator is None or len(bounds) != 1 or place.value(bounds[0]).shape or place.value(bounds[0]).constant is None:
        return None
    value = place.value(data)
    bounded = operator(place.wide(value), place.value(bounds[0]).expression)
    return place.computed(bounded, shape, value.block, value.layer)


def extremum(function: Any) -> Any:
    """Return Relax's maximum or minimum if that is all that the tensor program `function` computes, or None."""
    body = function.body
    while not isinstance(body, tirx.BufferStore):
        match body:
            case tvm.s_tir.SBlockRealize():
                body = body.block.body
            case tirx.For():
                body = body.body
            case _:
                return None
    return {tirx.Max: relax.op.maximum, tirx.Min: relax.op.minimum}.get(type(body.value))


def activation(compute: Callable[[Any], Any]) -> Rule:
    """Return the rule that applies `compute`, a TE element-wise function, in any layout."""

    def rule(place: Placement, call: Any, shape: tuple[int, ...]) -> Value:
        data = place.value(call.args[0])
        result = place.emit(compute, place.wide(data), name=call.op.name.split(".")[-1], pattern=None)
        return place.computed(result, shape, data.block, data.layer)

    return rule


def prelu(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Run a parametric ReLU, one slope per channel, as element-wise operators."""
    data, slope = place.value(call.args[0]), place.value(call.args[1]).constant
    if slope is None or int(call.attrs.axis) != 1:
        return None
    arguments, block, layer = place.alike([data, _constant(slope.reshape(-1, *[1] * (len(shape) - 2)))], shape)
    if not block:
        return None
    emit, (x, factor), zero = place.builder.emit, arguments, relax.const(0.0, "float32")
    below = emit(relax.op.multiply(emit(relax.op.minimum(x, zero)), factor))
    return place.computed(relax.op.add(emit(relax.op.maximum(x, zero)), below), shape, block, layer)


def mean(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Run a mean over height and width as global average pooling."""
    data = place.value(call.args[0])
    axes = sorted(int(axis) % 4 for axis in call.attrs.axis or ())
    if not data.block or axes != [2, 3]:
        return None
    source = place.blocked(data, place.block(data.shape[1], data), data.layer)
    result = place.emit(lambda x: pooling.mean(x, data.shape[1], place.cpu), source, name="global_avg_pool2d")
    place.account("global_avg_pool2d", data.shape, (), shape, ran="mean")
    if not call.attrs.keepdims:
        result = place.builder.emit(relax.op.reshape(result, shape))
    return place.computed(result, shape)


def pool(kind: str) -> Rule:
    """Return the rule for pooling of `kind` max or avg."""

    def rule(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
        data, attributes = place.value(call.args[0]), call.attrs
        if kind == "avg" and (attributes.ceil_mode or _ints(attributes.dilation) != (1, 1)):
            return None
        window = window_of(attributes, data.shape, shape)
        count = kind == "avg" and bool(attributes.count_include_pad)
        block = place.block(data.shape[1], data)
        place.recorder.follows(data, Problem(f"{kind}_pool2d", window, dtype=data.dtype))
        result = place.emit(
            lambda x: pooling.compute(window, x, kind, count, place.cpu), place.blocked(data, block, data.layer),
            name=f"{kind}_pool2d",
        )  # fmt: skip
        in_half = kind == "max" and data.dtype == "float16" and place.cpu.half
        fields = {"dtype": "float16", "arithmetic": "float16"} if in_half else {}
        place.account(
            f"{kind}_pool2d", data.shape, (), shape, ran="window", stride=window.stride, padding=window.padding,
            dilation=window.dilation, **fields,
        )  # fmt: skip
        return place.computed(result, shape, block, data.layer)

    return rule


def even_pool(attributes: Any) -> bool:
    """Tell whether every window of an average pooling averages over the same number of inputs."""
    padded = any(_ints(attributes.padding)) and not attributes.count_include_pad
    return not padded and not attributes.ceil_mode and _ints(attributes.dilation) == (1, 1)


def concat(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Concatenate along channels in blocks."""
    values = [place.value(field) for field in getattr(call.args[0], "fields", ())]
    if len(shape) != 4 or int(call.attrs.axis) % 4 != 1 or not any(value.block for value in values):
        return None
    if grown := place.growing.place(place, call, shape):
        return grown
    block = place.block(shape[1])
    parts = [place.blocked(value, place.block(value.shape[1], value), value.layer) for value in values]
    channels = [value.shape[1] for value in values]
    result = place.emit(
        lambda *x: layout.concatenate(x, channels, block, place.cpu.lanes()), *parts, name="concat", pattern=None
    )
    return Value(result, shape, block)


RULES: dict[str, Rule] = {
    "relax.nn.conv2d": conv2d,
    "relax.matmul": matmul,
    "relax.nn.batch_norm": batch_norm,
    "TupleGetItem": tuple_item,
    "relax.call_tir": clip_bound,
    **{name: activation(compute) for name, compute in ACTIVATIONS.items()},
    "relax.nn.prelu": prelu,
    "relax.mean": mean,
    "relax.nn.max_pool2d": pool("max"),
    "relax.nn.avg_pool2d": pool("avg"),
    "relax.concat": concat,
}


def _constant(array: Any) -> Value:
    return Value(relax.const(array.astype(np.float32)), array.shape)


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def conv_of(attributes: Any, data: tuple[int, ...], weight: Any) -> Conv:
    """Return the shape of the convolution of `data` with `weight`."""
    stride, padding, dilation = (
        _ints(field) for field in (attributes.strides, attributes.padding, attributes.dilation)
    )
    outputs, _, *kernel = weight.shape
    fields: Any = (*data, outputs, tuple(kernel), stride, padding, dilation, int(attributes.groups))
    return Conv(*fields)


def window_of(attributes: Any, data: tuple[int, ...], output: tuple[int, ...]) -> Conv:
    """Return the pooling window as a depthwise convolution; rounding up the output size is more border at its end."""
    _, channels, height, width = data
    kernel, stride, dilation = (_ints(v) for v in (attributes.pool_size, attributes.strides, attributes.dilation))
    top, left, bottom, right = _ints(attributes.padding)
    extent = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    bottom = max(bottom, (output[2] - 1) * stride[0] + extent[0] - height - top)
    right = max(right, (output[3] - 1) * stride[1] + extent[1] - width - left)
    fields: Any = (*data, channels, kernel, stride, (top, left, bottom, right), dilation, channels)
    return Conv(*fields)
