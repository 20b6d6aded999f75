"""Relax module of framework operators → tensor programs of the chosen algorithm in blocked layouts, and an account."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.convolution import Conv
from dlas_ops.layers import Layer
from dlas_ops.operators import dense, depthwise, grouped, pooling
from dlas_ops.stages import FUSES_EPILOGUE, read_channel
from dlas_ops.targets import Cpu, describe

relax, te, tirx = tvm.relax, tvm.te, tvm.tirx

ELEMENTWISE = {"relax." + name for name in (
    "nn.relu", "nn.silu", "nn.gelu", "nn.leakyrelu", "sigmoid", "tanh", "exp", "sqrt", "rsqrt", "negative", "abs",
    "clip", "add", "subtract", "multiply", "divide", "maximum", "minimum",
)}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A tensor of the network: its NCHW (or other) `shape` and the expression that holds it.

    `block` 0 means that `expression` holds it as it is, otherwise in channel blocks of that size.
    """

    expression: Any
    shape: tuple[int, ...]
    block: int = 0


class Placement:
    """Rewrites one dataflow function, keeping activations in the layout that the convolutions want."""

    def __init__(self, module: Any, target: Any, algorithm: str, format: str, names: Iterator[str]) -> None:
        self.module = module
        self.target = target
        self.cpu: Cpu = describe(target)
        self.algorithm: ModuleType = importlib.import_module(f"dlas_ops.algorithms.{algorithm}")
        self.asked = f"{algorithm}/{format}"
        self.name = algorithm
        self.names = names
        self.layers: list[Layer] = []
        self.builder = relax.BlockBuilder()
        self.values: dict[Any, Value] = {}

    def run(self) -> Any:
        """Return the rewritten module."""
        function = self.module["main"]
        parameters = [relax.Var(str(var.name), var.ty) for var in function.params]
        for old, new in zip(function.params, parameters, strict=True):
            self.values[old] = Value(new, _shape(old))
        with self.builder.function("main", parameters):
            with self.builder.dataflow():
                for block in function.body.blocks:
                    for binding in block.bindings:
                        self.values[binding.var] = self.place(binding.var, binding.value)
                result = self.builder.emit_output(self.rewritten(function.body.body))
            self.builder.emit_func_output(result)
        return self.builder.get()

    def place(self, var: Any, call: Any) -> Value:
        """Return what takes the place of the binding `var` = `call`."""
        operator = getattr(getattr(call, "op", None), "name", "")
        handler = _HANDLERS.get(operator)
        value = handler(self, call, _shape(var)) if handler else None
        if value is None and operator in ELEMENTWISE:
            value = self.elementwise(call, _shape(var))
        if value is None:
            value = Value(self.builder.emit(self.rewritten(call)), _shape(var))
        return value

    def value(self, expression: Any) -> Value:
        """Return the value of an argument: of a variable its present one, of a constant itself."""
        known = self.values.get(expression) if isinstance(expression, tvm.ir.expr.Var) else None
        return known or Value(expression, _shape(expression))

    def rewritten(self, expression: Any) -> Any:
        """Return `expression` over plain tensors."""
        if isinstance(expression, relax.Tuple):
            return relax.Tuple([self.rewritten(field) for field in expression.fields])
        if isinstance(expression, relax.Call):
            arguments = [self.rewritten(argument) for argument in expression.args]
            if expression.op.name == "relax.call_tir":
                variable = expression.args[0]
                arguments[0] = self.builder.add_func(self.module[variable], variable.name_hint)
            return relax.Call(expression.op, arguments, expression.attrs, expression.ty_args)
        if isinstance(expression, tvm.ir.expr.Var) and expression in self.values:
            return self.plain(self.values[expression])
        return expression

    def plain(self, value: Value) -> Any:
        """Return `value` as an unblocked tensor."""
        if not value.block:
            return value.expression

        def unpacked(data: Any) -> Any:
            return te.compute(value.shape, lambda *index: read_channel(data, *index), name="unpacked")

        return self.emit(unpacked, value.expression, name="unpack", pattern=None)

    def blocked(self, value: Value, block: int) -> Any:
        """Return `value` (NCHW) in channel blocks of `block`."""
        if value.block == block:
            return value.expression
        batch, channels, height, width = value.shape
        blocks = -(-channels // block)

        def packed(data: Any) -> Any:
            def element(n: Any, co: Any, h: Any, w: Any, ci: Any) -> Any:
                channel = co * block + ci
                held = read_channel(data, n, channel, h, w)
                if blocks * block == channels:
                    return held
                return tirx.if_then_else(channel < channels, held, tirx.const(0.0, data.dtype))

            return te.compute((batch, blocks, height, width, block), element, name="packed")

        return self.emit(packed, value.expression, name="pack", pattern=None)

    def emit(
        self, compute: Callable[..., Any], *arguments: Any, name: str, pattern: int | None = FUSES_EPILOGUE
    ) -> Any:
        """Emit a call of the tensor program that `compute` builds."""
        attributes = {} if pattern is None else {"primfunc_attrs": {"op_pattern": pattern}}
        return self.builder.emit_te(compute, *arguments, primfunc_name_hint=name, **attributes)

    def elementwise(self, call: Any, shape: tuple[int, ...]) -> Value | None:
        """Apply an element-wise operator in the layout of its blocked argument."""
        values = [self.value(argument) for argument in call.args]
        block = max((value.block for value in values), default=0)
        if not block or len(shape) != 4:
            return None
        arguments = [self.broadcastable(value, block) for value in values]
        if None in arguments:
            return None
        return Value(self.builder.emit(relax.Call(call.op, arguments, call.attrs, call.ty_args)), shape, block)

    def broadcastable(self, value: Value, block: int) -> Any:
        """Return `value` so that it broadcasts against tensors in channel blocks of `block`, or None."""
        if not value.shape:
            return value.expression
        if isinstance(value.expression, tvm.ir.GenericConst):
            return _blocked_constant(value.expression.value.numpy(), block)
        return self.blocked(value, block) if len(value.shape) == 4 else None

    def account(self, operator: str, input: Any, weight: Any, output: Any, **fields: Any) -> None:
        """Add a layer; without `ran` it ran as asked."""
        number = sum(layer.operator == operator for layer in self.layers)
        name = next(self.names, "") if weight else f"{operator}_{number}"
        fields.setdefault("asked", self.asked)
        fields.setdefault("ran", fields["asked"])
        self.layers.append(Layer(name, operator, tuple(input), tuple(weight), tuple(output), **fields))


def _conv2d(self: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    data, kernel = self.value(call.args[0]), call.args[1]
    if not isinstance(kernel, tvm.ir.GenericConst) or call.attrs.data_layout != "NCHW":
        return None
    weight = kernel.value.numpy()
    conv = _conv_of(call.attrs, data.shape, weight)
    reason, ran = _choice(self, conv)
    if conv.operator == "conv2d":
        value = _ungrouped(self, conv, data, weight, shape)
    else:
        block = data.block or self.algorithm.block(conv.in_channels, self.cpu)
        run = _depthwise if conv.operator == "depthwise_conv2d" else _grouped
        value = run(self, conv, data, weight, shape, block)
    self.account(
        conv.operator, data.shape, weight.shape, shape, macs=conv.macs, stride=conv.stride, padding=conv.padding,
        dilation=conv.dilation, groups=conv.groups, ran=ran, reason=reason,
    )  # fmt: skip
    return value


def _choice(self: Placement, conv: Conv) -> tuple[str, str]:
    """Return why `conv` does not run as asked, or "", and what runs."""
    reasons = []
    asked_format = self.asked.split("/")[1]
    if asked_format not in self.algorithm.FORMATS:
        reasons.append(f"format {asked_format} is not implemented: weights are stored dense")
    ran = self.name
    if reason := self.algorithm.supports(conv, self.target):
        reasons.append(reason)
        ran = conv.operator.removesuffix("_conv2d")
    return "; ".join(reasons), f"{ran}/dense"


def _ungrouped(self: Placement, conv: Conv, data: Value, weight: Any, shape: tuple[int, ...]) -> Value:
    block = self.algorithm.block(conv.out_channels, self.cpu)
    packed = relax.const(self.algorithm.pack(weight, conv, self.cpu))
    wanted = self.algorithm.block(conv.in_channels, self.cpu)
    source = data.expression if data.block in (0, wanted) else self.blocked(data, wanted)
    result = self.emit(
        lambda x, w: self.algorithm.compute(conv, x, w, self.cpu), source, packed, name=f"conv2d_{self.name}"
    )
    return Value(result, shape, block)


def _depthwise(self: Placement, conv: Conv, data: Value, weight: Any, shape: tuple[int, ...], block: int) -> Value:
    blocks = -(-conv.in_channels // block)
    packed = relax.const(depthwise.pack(weight, blocks, block))
    source = self.blocked(data, block)
    result = self.emit(lambda x, w: depthwise.compute(conv, x, w, self.cpu), source, packed, name="depthwise_conv2d")
    return Value(result, shape, block)


def _grouped(self: Placement, conv: Conv, data: Value, weight: Any, shape: tuple[int, ...], block: int) -> Value:
    packed = relax.const(grouped.pack(weight, conv, self.cpu))
    block = self.algorithm.block(conv.out_channels, self.cpu)
    result = self.emit(
        lambda x, w: grouped.compute(conv, x, w, block, self.cpu), data.expression, packed, name="grouped_conv2d"
    )
    return Value(result, shape, block)


def _clip(self: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Take a maximum or minimum with a scalar, which the importer makes of Clip, as an element-wise operator."""
    operator = _scalar_bound(self.module[call.args[0]])
    data, *bound = call.args[1].fields
    if operator is None or len(bound) != 1 or not isinstance(bound[0], tvm.ir.GenericConst):
        return None
    value = self.value(data)
    return Value(self.builder.emit(operator(value.expression, bound[0])), shape, value.block)


def _scalar_bound(function: Any) -> Any:
    """Return relax's maximum or minimum if `function` computes it of a tensor and a scalar, or None."""
    if (
        len(function.params) != 3
        or len(
            function.params[1].ty.shape
            if hasattr(function.params[1].ty, "shape")
            else function.buffer_map[function.params[1]].shape
        )
        != 0
    ):
        return None
    body = function.body
    while not isinstance(body, tirx.BufferStore):
        if isinstance(body, tvm.s_tir.SBlockRealize):
            body = body.block.body if not body.block.alloc_buffers else None
        elif isinstance(body, tirx.For):
            body = body.body
        else:
            return None
    return {tirx.Max: relax.op.maximum, tirx.Min: relax.op.minimum}.get(type(body.value))


def _mean(self: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    data = self.value(call.args[0])
    axes = sorted(int(axis) % 4 for axis in call.attrs.axis or ())
    if not data.block or axes != [2, 3]:
        return None
    result = self.emit(lambda x: pooling.mean(x, data.shape[1], self.cpu), data.expression, name="global_avg_pool2d")
    self.account("global_avg_pool2d", data.shape, (), shape, asked="", ran="mean")
    if not call.attrs.keepdims:
        result = self.builder.emit(relax.op.reshape(result, shape))
    return Value(result, shape)


def _pool(kind: str) -> Callable[[Placement, Any, tuple[int, ...]], Value | None]:
    def place(self: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
        data, attributes = self.value(call.args[0]), call.attrs
        if not data.block or (kind == "avg" and (attributes.ceil_mode or _ints(attributes.dilation) != (1, 1))):
            return None
        window = _window(attributes, data.shape, shape)
        count = kind == "avg" and bool(attributes.count_include_pad)
        result = self.emit(
            lambda x: pooling.compute(window, x, kind, count, self.cpu), data.expression, name=f"{kind}_pool2d"
        )
        self.account(
            f"{kind}_pool2d", data.shape, (), shape, asked="", ran="window", stride=window.stride,
            padding=window.padding, dilation=window.dilation,
        )  # fmt: skip
        return Value(result, shape, data.block)

    return place


def _matmul(self: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    data, kernel = self.value(call.args[0]), call.args[1]
    if not isinstance(kernel, tvm.ir.GenericConst) or len(data.shape) != 2 or len(shape) != 2:
        return None
    weight = kernel.value.numpy()
    packed = relax.const(dense.pack(weight, self.cpu))
    result = self.emit(lambda x, w: dense.compute(x, w, shape[1], self.cpu), self.plain(data), packed, name="dense")
    self.account(
        "dense", data.shape, weight.shape[::-1], shape, asked="", ran="dense", macs=prod(shape) * weight.shape[0]
    )
    return Value(result, shape)


_HANDLERS: dict[str, Callable[[Placement, Any, tuple[int, ...]], Value | None]] = {
    "relax.nn.conv2d": _conv2d,
    "relax.call_tir": _clip,
    "relax.mean": _mean,
    "relax.nn.max_pool2d": _pool("max"),
    "relax.nn.avg_pool2d": _pool("avg"),
    "relax.matmul": _matmul,
}


def _shape(expression: Any) -> tuple[int, ...]:
    shape = getattr(expression.ty, "shape", None)
    return tuple(int(size) for size in shape) if shape is not None else ()


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _conv_of(attributes: Any, data: tuple[int, ...], weight: Any) -> Conv:
    return Conv(
        *data, weight.shape[0], weight.shape[2:], _ints(attributes.strides), _ints(attributes.padding),
        _ints(attributes.dilation), int(attributes.groups),
    )  # type: ignore[arg-type]  # fmt: skip


def _window(attributes: Any, data: tuple[int, ...], output: tuple[int, ...]) -> Conv:
    """Return the pooling window as a depthwise convolution; rounding up the output size is more border at its end."""
    batch, channels, height, width = data
    kernel, stride, dilation = (_ints(v) for v in (attributes.pool_size, attributes.strides, attributes.dilation))
    top, left, bottom, right = _ints(attributes.padding)
    extent = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    bottom = max(bottom, (output[2] - 1) * stride[0] + extent[0] - height - top)
    right = max(right, (output[3] - 1) * stride[1] + extent[1] - width - left)
    padding = (top, left, bottom, right)
    return Conv(batch, channels, height, width, channels, kernel, stride, padding, dilation, channels)  # type: ignore[arg-type]


def _blocked_constant(array: np.ndarray, block: int) -> Any:
    """Return a constant that broadcasts against NCHW such that it broadcasts against channel blocks."""
    full = array.reshape((1,) * (4 - array.ndim) + array.shape)
    if full.shape[1] == 1:
        return relax.const(full[..., None])
    batch, channels, height, width = full.shape
    blocks = -(-channels // block)
    filled = np.zeros((batch, blocks * block, height, width), array.dtype)
    filled[:, :channels] = full
    return relax.const(
        np.ascontiguousarray(filled.reshape(batch, blocks, block, height, width).transpose(0, 1, 3, 4, 2))
    )
