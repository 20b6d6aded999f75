"""Transposed convolutions → an ordinary convolution of pieces by the algorithm asked for, and their interleaving.

See `dlas_ops.kernels.shared.transposed`. A depthwise one has a program of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Call, Shape
from dlas_ops.kernels.operators import phases
from dlas_ops.kernels.registry import Asked, implemented
from dlas_ops.kernels.shared.blocks import FUSES_EPILOGUE
from dlas_ops.kernels.shared.dimensions import RANKS
from dlas_ops.kernels.shared.transposed import Transposed
from dlas_ops.placement.account import LayerFields
from dlas_ops.placement.context import Context
from dlas_ops.placement.integers import known
from dlas_ops.placement.rules.attributes import window_of
from dlas_ops.placement.rules.convolutions import CHANNELS_SECOND, Convolution, Own, convolved, operator_of, stated
from dlas_ops.placement.rules.quantized import _arithmetic, _weights
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Quantization, Value

relax = tvm.relax

OPERATORS = ("relax.nn.conv1d_transpose", "relax.nn.conv2d_transpose", "relax.nn.conv3d_transpose")


class Layer(NamedTuple):
    """A transposed convolution to be placed: what it is called, its input and its weights, (inputs, outputs, …).

    `border` is the value that lies around the input: the zero point of integers.
    """

    name: str
    operator: str
    form: Transposed
    data: Value
    weight: Array
    shape: Shape
    border: int = 0

    def ordinary(self) -> Convolution:
        """Return the ordinary convolution of all pieces."""
        form = self.form
        weight = form.weight(self.weight)
        return Convolution(self.name, form.ordinary(), form.groups, self.data, weight, self.border)


@places(*OPERATORS)
def conv(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a transposed convolution of floats."""
    data, weight = context.value(call.args[0]), context.value(call.args[1]).constant
    if weight is None or not _is_known(call, shape):
        return None
    quantized = any(context.held(argument).quantization for argument in call.args[:2])
    reason = "int8 takes activations of one scale and int8 weights without zero point" if quantized else ""
    layer = _layer(context, call, data, weight, context.held(call.args[1]).constant)
    value, ran = convolved(context, layer.ordinary(), reason, _own(context, layer))
    _account(context, layer, ran)
    return value if layer.form.is_depthwise else _interleaved(context, layer, value, ran)


@places(*OPERATORS)
def quantized(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a transposed convolution of 8-bit integers; the result is the exact sums."""
    data, held = context.held(call.args[0]), context.held(call.args[1])
    weight = _weights(data, held, axis=1)
    if weight is None or not _is_known(call, shape):
        return None
    layer = _layer(context, call, data, weight, weight, int(known(data).zero))
    ordinary = layer.ordinary()
    value, ran = convolved(
        context, ordinary, own=_own(context, layer), dtype="int8", arithmetic=_arithmetic(context, data)
    )
    _account(context, layer, ran)
    column = (1, -1, *[1] * (len(shape) - 2))
    scales = np.broadcast_to(known(held).scale.ravel(), weight.shape[1])
    scale = known(data).scale * np.tile(scales, layer.form.groups).reshape(column)
    quantization = Quantization(scale, np.zeros(scale.shape, np.int32))
    if layer.form.is_depthwise:
        return replace(value, quantization=quantization)
    # Each piece sums other weights, so that the input's zero point adds another number to each.
    added = layer.border * ordinary.weight.reshape(len(ordinary.weight), -1).sum(axis=1, dtype=np.int32).reshape(column)
    arguments, block, decided = context.alike([value, Value(relax.const(added), added.shape)], value.shape)
    sums = Value(context.builder.emit(relax.op.subtract(*arguments)), value.shape, block, layer=decided)
    return replace(_interleaved(context, layer, sums, ran), quantization=quantization)


def _is_known(call: Call, shape: Shape) -> bool:
    """Tell whether the operator has the layouts that importers write."""
    return call.attrs.data_layout in CHANNELS_SECOND and len(shape) in RANKS


def _layer(context: Context, call: Call, data: Value, weight: Array, stated: Array | None, border: int = 0) -> Layer:
    """Return the layer of `weight`, which the network has as `stated`."""
    attributes = call.attrs
    added, groups = tuple(map(int, attributes.output_padding)), int(attributes.groups)
    channels = len(weight) // groups, weight.shape[1]
    form = Transposed(data.shape[2:], window_of(attributes, weight.shape[2:]), added, groups, *channels)
    outputs = weight.shape[1] * groups
    operator = operator_of(f"conv_transpose{len(added)}d", groups, data.shape[1], outputs)
    shape = (data.shape[0], outputs, *form.output())
    return Layer(context.name(operator, stated), operator, form, data, weight, shape, border)


def _account(context: Context, layer: Layer, ran: LayerFields) -> None:
    """Add the layer to the account, as the network has it."""
    form, shapes = layer.form, (layer.data.shape, layer.weight.shape, layer.shape)
    context.account(layer.operator, *shapes, **stated(ran, form.window, form.groups, form.macs(layer.shape[0])))


def _own(context: Context, layer: Layer) -> Own | None:
    """Return the schedule of its own that a depthwise layer has, or None."""

    def placed() -> Value:
        data, form = layer.data, layer.form
        block = context.block(data.shape[1], data)
        packed = context.weights(phases.pack_depthwise(layer.weight, -(-data.shape[1] // block), block))
        source = context.blocked(data, block, data.layer)
        result = context.emit(
            lambda x, w: phases.depthwise(x, w, form, layer.shape, context.cpu, layer.border), source, packed,
            name="depthwise_conv_transpose",
        )  # fmt: skip
        return context.computed(result, layer.shape, block, data.layer)

    return Own("depthwise", placed, {}) if layer.form.is_depthwise else None


def _interleaved(context: Context, layer: Layer, value: Value, ran: LayerFields) -> Value:
    """Return the layer's output of the `value` that holds all its pieces."""
    form, source, shape = layer.form, value.shape, layer.shape
    if form.is_ordinary and source == shape:
        return value
    algorithm = Asked.parse(ran["ran"]) if ran["ran"].partition("/")[0] in implemented() else context.choices.other
    own = algorithm.module.block(shape[1], context.cpu)
    block = own if own > 0 else context.block(shape[1])
    whole = context.block(source[1])
    held = context.wide(value) if value.block > 0 else context.widened(context.blocked(value, whole, value.layer))
    result = context.emit(
        lambda x: phases.interleaved(x, form, source, shape, block, context.cpu.lanes()), held, name="interleaved",
        pattern=FUSES_EPILOGUE,
    )  # fmt: skip
    return context.computed(result, shape, block, value.layer)
