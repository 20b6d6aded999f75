"""Pooling of floats over lines and volumes → the same of the maps that hold them in channel blocks."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Attributes, Call, Shape
from dlas_ops.kernels.operators import pooling, volumes
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import Slices, Window, maps_of
from dlas_ops.placement.context import Context
from dlas_ops.placement.graph import Problem
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value

relax = tvm.relax


@places("relax.nn.max_pool1d", "relax.nn.max_pool3d")
def max_pool(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a max pooling in channel blocks: that of each slice and, of a volume, that of the slices."""
    return _pooled(context, "max", call, shape, count=False)


@places("relax.nn.avg_pool1d", "relax.nn.avg_pool3d")
def avg_pool(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run an average pooling in channel blocks, unless its windows are dilated."""
    if any(int(step) != 1 for step in call.attrs.dilation):
        return None
    return _pooled(context, "avg", call, shape, bool(call.attrs.count_include_pad))


def _pooled(context: Context, kind: str, call: Call, shape: Shape, count: bool) -> Value | None:
    data = context.value(call.args[0])
    if not data.block:
        return None
    window = _window_of(call.attrs, data.shape, shape)
    flat, block = _flat(window, data.shape), context.block(data.shape[1], data)
    context.recorder.follows(data, Problem(f"{kind}_pool2d", flat, dtype=data.dtype))
    operator = f"{kind}_pool{len(shape) - 2}d"
    stated = tuple(map(int, call.attrs.padding))[len(shape) - 2 :]
    added = [end - own for end, own in zip(window.end, stated, strict=True)]  # by rounding the output size up
    beyond = (added[-2] if len(added) > 1 else 0, added[-1])
    result = context.emit(
        lambda x: pooling.compute(flat, x, kind, count, context.cpu, beyond=beyond),
        context.blocked(data, block, data.layer), name=operator,
    )  # fmt: skip
    if len(shape) == 5:
        depth = window.kernel[0], window.stride[0], window.begin[0], window.dilation[0]
        slices = Slices(data.shape[2], shape[2], *depth, groups=1)
        if not slices.trivial:
            counted = (-window.begin[0], data.shape[2] + stated[0]) if count else None
            result = context.emit(lambda x: volumes.pooled(x, slices, kind, counted), result, name=operator)
    context.account(
        operator, data.shape, (), shape, ran="window", stride=window.stride, padding=(*window.begin, *window.end),
        dilation=window.dilation,
    )  # fmt: skip
    return context.computed(result, shape, block, data.layer)


@places("relax.mean")
def mean(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a mean over a whole line or volume as global average pooling."""
    data = context.value(call.args[0])
    rank = len(data.shape)
    axes = sorted(int(axis) % rank for axis in call.attrs.axis or ()) if rank else []
    if data.block <= 0 or rank not in (3, 5) or axes != list(range(2, rank)):
        return None
    operator = f"global_avg_pool{rank - 2}d"
    result = context.emit(lambda x: pooling.mean(x, data.shape[1], context.cpu), context.in_blocks(data), name=operator)
    context.account(operator, data.shape, (), shape, ran="mean")
    if rank == 5:  # the mean of each slice; all are equally large
        slices = context.builder.emit(relax.op.reshape(result, (data.shape[0], data.shape[2], data.shape[1])))
        result = context.builder.emit(relax.op.mean(slices, 1))
    return context.computed(context.builder.emit(relax.op.reshape(result, shape)), shape)


def _window_of(attributes: Attributes, data: Shape, output: Shape) -> Window:
    """Return the pooling window; rounding the output size up adds border at the end."""
    kernel, stride, padding, dilation = (
        tuple(map(int, field))
        for field in (attributes.pool_size, attributes.strides, attributes.padding, attributes.dilation)
    )
    begin, end = padding[: len(kernel)], padding[len(kernel) :]
    every = zip(output[2:], stride, kernel, dilation, data[2:], begin, end, strict=True)
    reached = (
        max(after, (points - 1) * step + (taps - 1) * apart + 1 - size - before)
        for points, step, taps, apart, size, before, after in every
    )
    return Window(kernel, stride, begin, tuple(reached), dilation)


def _flat(window: Window, data: Shape) -> Conv:
    """Return the window in each slice as a depthwise convolution."""
    batch, channels, height, width = maps_of(data)
    flat = window.flat()
    (kh, kw), (sh, sw), (top, left), (bottom, right), (dh, dw) = (
        flat.kernel, flat.stride, flat.begin, flat.end, flat.dilation,
    )  # fmt: skip
    return Conv(
        batch, channels, height, width, channels, (kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw), channels
    )
