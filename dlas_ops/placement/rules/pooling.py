"""Pooling of floats → its window in channel blocks, and the mean over a whole map."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Attributes, Call, Shape
from dlas_ops.kernels.operators import pooling
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.account import Precision
from dlas_ops.placement.context import Context
from dlas_ops.placement.graph import Problem
from dlas_ops.placement.rules.attributes import pair, sides
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value

relax = tvm.relax


@places("relax.nn.max_pool2d")
def max_pool2d(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a max pooling in channel blocks."""
    data = context.value(call.args[0])
    in_half = data.dtype == "float16" and context.cpu.half
    precision: Precision = {"dtype": "float16", "arithmetic": "float16"} if in_half else {}
    return _pooled(context, "max", data, window_of(call.attrs, data.shape, shape), shape, precision)


@places("relax.nn.avg_pool2d")
def avg_pool2d(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run an average pooling in channel blocks, unless its windows are dilated."""
    data, attributes = context.value(call.args[0]), call.attrs
    if pair(attributes.dilation) != (1, 1):
        return None
    window = window_of(attributes, data.shape, shape)
    return _pooled(
        context, "avg", data, window, shape, {}, bool(attributes.count_include_pad), beyond_of(attributes, window)
    )


def _pooled(
    context: Context,
    kind: str,
    data: Value,
    window: Conv,
    shape: Shape,
    precision: Precision,
    count: bool = False,
    beyond: tuple[int, int] = (0, 0),
) -> Value:
    """Pool `data` by `window`; `count` tells whether an average counts the border, but for the part `beyond`."""
    block = context.block(data.shape[1], data)
    context.recorder.follows(data, Problem(f"{kind}_pool2d", window, dtype=data.dtype))
    result = context.emit(
        lambda x: pooling.compute(window, x, kind, count, context.cpu, beyond=beyond),
        context.blocked(data, block, data.layer), name=f"{kind}_pool2d",
    )  # fmt: skip
    context.account(
        f"{kind}_pool2d", data.shape, (), shape, ran="window", stride=window.stride, padding=window.padding,
        dilation=window.dilation, **precision,
    )  # fmt: skip
    return context.computed(result, shape, block, data.layer)


@places("relax.mean")
def mean(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a mean over height and width as global average pooling."""
    data = context.value(call.args[0])
    if not data.block or not is_over_maps(call.attrs):
        return None
    result = context.emit(
        lambda x: pooling.mean(x, data.shape[1], context.cpu), context.in_blocks(data), name="global_avg_pool2d"
    )
    context.account("global_avg_pool2d", data.shape, (), shape, ran="mean")
    if not call.attrs.keepdims:
        result = context.builder.emit(relax.op.reshape(result, shape))
    return context.computed(result, shape)


def is_over_maps(attributes: Attributes) -> bool:
    """Tell whether a mean is over height and width."""
    return sorted(int(axis) % 4 for axis in attributes.axis or ()) == [2, 3]


def is_even(attributes: Attributes) -> bool:
    """Tell whether every window of an average pooling averages over the same number of inputs."""
    padded = any(sides(attributes.padding)) and not attributes.count_include_pad
    return not padded and not attributes.ceil_mode and pair(attributes.dilation) == (1, 1)


def beyond_of(attributes: Attributes, window: Conv) -> tuple[int, int]:
    """Return the rows and columns of the border at the end of `window` that rounding the output size up has added."""
    stated = sides(attributes.padding)[2:]
    return window.padding[2] - stated[0], window.padding[3] - stated[1]


def window_of(attributes: Attributes, data: Shape, output: Shape) -> Conv:
    """Return the pooling window as a depthwise convolution; rounding the output size up adds border at the end."""
    batch, channels, height, width = data
    kernel, stride, dilation = (pair(v) for v in (attributes.pool_size, attributes.strides, attributes.dilation))
    top, left, bottom, right = sides(attributes.padding)
    rows, columns = ((size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True))
    bottom = max(bottom, (output[2] - 1) * stride[0] + rows - height - top)
    right = max(right, (output[3] - 1) * stride[1] + columns - width - left)
    padding = top, left, bottom, right
    return Conv(batch, channels, height, width, channels, kernel, stride, padding, dilation, channels)
