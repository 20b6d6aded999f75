"""Matrix products of floats → a dense layer with packed weights, or a batch of products of two activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Unpack

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Call, Expr, Shape, Tensor
from dlas_ops.kernels.operators import batched, dense, quantize
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.account import Precision
from dlas_ops.placement.context import Context
from dlas_ops.placement.integers import eight_bits, known
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value
from dlas_ops.placement.views import View, view_of
from dlas_ops.processor import half

relax = tvm.relax

# Runs every dense layer: rows times one matrix.
ALGORITHM = "gemm"


@dataclass(frozen=True)
class Dense:
    """A dense layer to be placed.

    Attributes
    ----------
    data : what the layer reads, or the tensor that it is a `view` of
    input : shape of what it reads
    weight : (inputs, outputs)
    shape : shape of the result
    """

    name: str
    data: Value
    input: Shape
    weight: Array
    shape: Shape
    view: View | None = None

    @property
    def conv(self) -> Conv:
        """The convolution of 1x1 that computes the same: the rows are its map's."""
        inputs, outputs = self.weight.shape
        return Conv(1, inputs, 1, prod(self.input[:-1]), outputs, (1, 1))


@places("relax.matmul")
def matmul(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a product with constant weights as a dense layer, any other one batch by batch."""
    one, other = call.args
    if (weight := matrix(context.value(other).constant)) is not None and shape:
        quantized = any(context.held(argument).quantization for argument in call.args)
        reason = "int8 takes activations of one scale and int8 weights without zero point" if quantized else ""
        view, data, input = _operand(context, one)
        name = context.name("dense", context.held(other).constant)
        return layer(context, Dense(name, data, input, weight, shape, view), reason)
    if context.value(other).constant is None and (weight := matrix(context.value(one).constant)) is not None:
        return _from_the_left(context, call, weight, shape)
    return _batched(context, call, shape)


def matrix(array: Array | None) -> Array | None:
    """Return constant weights as (inputs, outputs), or None if they are none or several matrices."""
    if array is None or array.ndim < 2 or prod(array.shape[:-2]) != 1:
        return None
    return array.reshape(array.shape[-2:])


def layer(context: Context, dense_layer: Dense, reason: str = "", **precision: Unpack[Precision]) -> Value:
    """Run a dense layer as `gemm` in the format asked for, and account for it; see `convolutions.convolved`."""
    wanted, weight = context.choices.of(dense_layer.name), dense_layer.weight
    dtype = context.stored(weight)
    # One algorithm runs it, so that only its format can be asked for.
    stated = Asked(ALGORITHM, Asked.parse(wanted.selected_by or str(wanted)).format)
    ran, reasons = stated, [reason] if reason else []
    if lacks := ran.why_not(dense_layer.conv, dtype, context.target):
        ran, reasons = Asked(ALGORITHM), [lacks, *reasons]
    value = _sparse(context, ran, dense_layer) if ran.format == "csr" else _packed(context, dense_layer)
    if ran.format == "dense" and dtype != "int8":
        in_half = dtype == "float16" and context.cpu.half
        precision = {"dtype": dtype, "arithmetic": half.ARITHMETIC} if in_half else context.of_products(dtype)
    context.account(
        "dense", dense_layer.input, weight.shape[::-1], dense_layer.shape, name=dense_layer.name, asked=str(stated),
        ran=str(ran), reason="; ".join(reasons), macs=prod(dense_layer.shape) * weight.shape[0], **precision,
    )  # fmt: skip
    return value


def _packed(context: Context, dense_layer: Dense) -> Value:
    outputs = dense_layer.weight.shape[1]
    packed = context.weights(dense.pack(context.rounded(dense_layer.weight), context.cpu))
    result = context.emit(
        lambda x, w: dense.compute(x, w, outputs, context.cpu, dense_layer.view), context.plain(dense_layer.data),
        packed, name="dense",
    )  # fmt: skip
    return context.computed(result, dense_layer.shape)


def _sparse(context: Context, ran: Asked, dense_layer: Dense) -> Value:
    """Run a dense layer as a convolution of 1x1 whose map's points are the rows."""
    conv, data, view = dense_layer.conv, context.plain(dense_layer.data), dense_layer.view

    def as_map(x: Tensor) -> Tensor:
        rows = tvm.topi.reshape(view(x) if view else x, (conv.width, conv.in_channels))
        return tvm.topi.reshape(tvm.topi.transpose(rows), (1, conv.in_channels, 1, conv.width))

    algorithm = ran.module
    packed = algorithm.pack(dense_layer.weight.T[:, :, None, None], conv, context.cpu)
    source = context.emit(as_map, data, name="map", pattern=None)
    csr = [context.weights(part) for part in packed]
    sums = context.emit(lambda x, *w: algorithm.compute(conv, x, *w, context.cpu), source, *csr, name="dense_csr")
    points = (1, conv.out_channels, 1, conv.width)
    made = Value(sums, points, algorithm.block(conv.out_channels, context.cpu))

    def as_rows(x: Tensor) -> Tensor:
        return tvm.topi.reshape(tvm.topi.transpose(tvm.topi.reshape(x, points[1::2])), dense_layer.shape)

    return context.computed(context.emit(as_rows, context.plain(made), name="rows", pattern=None), dense_layer.shape)


def _from_the_left(context: Context, call: Call, weight: Array, shape: Shape) -> Value | None:
    """Run the product of a constant and columns as a dense layer of these columns as rows."""
    one, other = call.args
    view, data, input = _operand(context, other)
    if len(input) < 2 or len(input) != len(shape):
        return None
    axes = [*range(len(input) - 2), len(input) - 1, len(input) - 2]
    swapped = View(view.base if view else other, (*(view.steps if view else ()), lambda x: tvm.topi.transpose(x, axes)))
    rows, turned = (tuple(each[axis] for axis in axes) for each in (input, shape))
    name = context.name("dense", context.held(one).constant)
    result = layer(context, Dense(name, data, rows, np.ascontiguousarray(weight.T), turned, swapped))
    return context.computed(relax.op.permute_dims(context.wide(result), axes), shape)


def _batched(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run the products of two activations, which may be one tensor's parts."""
    operands = [operand_of(context, argument) for argument in call.args]
    inputs = [operand.shape for operand in operands]
    if min(len(input) for input in inputs) < 2:
        return None
    arguments = list(dict.fromkeys(argument for operand in operands for argument in operand.arguments))

    def compute(*tensors: Tensor) -> Tensor:
        one, other = (operand([tensors[arguments.index(each)] for each in operand.arguments]) for operand in operands)
        return batched.compute(one, other, context.cpu)

    result = context.emit(compute, *arguments, name="matmul")
    context.line_of[call] = len(context.layers)
    context.account("matmul", inputs[0], (), shape, ran=str(Asked(ALGORITHM)), macs=prod(shape) * inputs[0][-1])
    return context.computed(result, shape)


@dataclass(frozen=True)
class Operand:
    """A tensor of `shape` that a product of activations reads: `arguments` of its program, and how they become floats.

    The first argument is the tensor that it is a `view` of; the zero point and the scale follow if that is of integers.
    """

    arguments: tuple[Expr, ...]
    shape: Shape
    view: View | None

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the floats, `tensors` being the arguments."""
        held = self.view(tensors[0]) if self.view else tensors[0]
        if len(tensors) == 1:
            return held
        zero, scale = (each(0) for each in tensors[1:])
        return tvm.te.compute(held.shape, lambda *i: quantize.real(held(*i), zero, scale), name="real")


def operand_of(context: Context, argument: Expr) -> Operand:
    """Return how a product of activations reads `argument`; integers are read as they are, however they were moved."""
    value = context.held(argument)
    if not eight_bits(value) or value.constant is not None:
        view, value, shape = _operand(context, argument)
        return Operand((context.plain(value),), shape, view)
    view = view_of(argument, context.bound, scales=False, first=context.first)
    source, stated = context.plain(context.held(view.base)), known(value)
    numbers = (relax.const(stated.zero.reshape(1)), relax.const(stated.scale.reshape(1)))
    return Operand((source, *numbers), value.shape, view if view.steps else None)


def _operand(context: Context, argument: Expr) -> tuple[View | None, Value, Shape]:
    """Return how an argument is viewed, if it is, the value of what is viewed, and the argument's shape."""
    shape = context.value(argument).shape
    view = view_of(argument, context.bound)
    return (view if view.steps else None), context.value(view.base), shape
