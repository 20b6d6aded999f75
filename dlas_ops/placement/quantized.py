"""Relax operator between quantize and dequantize → how `placement` runs it on 8-bit integers, where it can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from operator import add as plus
from operator import mul
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import dense, layout, pooling, quantize
from dlas_ops.kernels.shared.blocks import FUSES_EPILOGUE
from dlas_ops.placement.graph import Problem
from dlas_ops.placement.rules import Rule, conv_of, convolved, even_pool, extremum, window_of
from dlas_ops.placement.scales import dequantize_linear, eight_bits, known, operand, quantize_linear
from dlas_ops.placement.value import Quantization, Value
from dlas_ops.processor.dot import dot_of

if TYPE_CHECKING:
    from dlas_ops.placement.walk import Placement

relax = tvm.relax


def conv2d(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Convolve 8-bit integers; the result is the exact sums."""
    data, weight = place.held(call.args[0]), place.held(call.args[1])
    array = _weights(data, weight, axis=0)
    if array is None or call.attrs.data_layout != "NCHW":
        return None
    conv = conv_of(call.attrs, data.shape, array)
    border = int(known(data).zero)
    name, arithmetic = place.name(conv.operator, array), _arithmetic(place, data)
    sums = convolved(place, name, conv, data, array, shape, border, dtype="int8", arithmetic=arithmetic)
    offset = border * array.sum(axis=(1, 2, 3), dtype=np.int32).reshape(1, -1, 1, 1)
    scale = known(data).scale * known(weight).scale.reshape(1, -1, 1, 1)
    return replace(sums, quantization=Quantization(np.broadcast_to(scale, offset.shape), offset))


def add(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Add a bias to sums by moving their zero, or two quantized tensors as floats."""
    one, other = (place.held(argument) for argument in call.args)
    held = one.quantization
    if held is None or held.low > -np.inf or held.high < np.inf or one.shape != shape or one.dtype != "int32":
        return _joined(place, one, other, shape, plus, "add")
    if other.constant is None:
        return _joined(place, one, other, shape, plus, "add")
    stated = other.quantization or Quantization(np.ones((), np.float32))
    bias = np.rint((other.constant - stated.zero).astype(np.float64) * stated.scale / held.scale)
    if bias.size > 1 and bias.shape[-held.zero.ndim :] != held.zero.shape[-bias.ndim :]:
        return None
    return replace(one, quantization=replace(held, zero=(held.zero - bias).astype(np.int32)))


def multiply(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Multiply two quantized tensors as floats, one of which may be a number per channel."""
    one, other = (place.held(argument) for argument in call.args)
    return _joined(place, *((one, other) if one.shape == shape else (other, one)), shape, mul, "multiply")


def _joined(
    place: Placement, one: Value, other: Value, shape: tuple[int, ...], operation: Callable[[Any, Any], Any], name: str
) -> Value | None:
    """Add or multiply two tensors of 8-bit integers as floats, in one step that reads the integers."""
    if not (eight_bits(one) and eight_bits(other) and one.shape == shape):
        return None
    arguments, block, layer = place.alike([one, other], shape)
    if not block:
        return None
    for value in (one, other):
        arguments += [operand(each, replace(value, block=block)) for each in (known(value).zero, known(value).scale)]
    # A layer that yields a number per channel would go over the whole map in its epilogue if this fused to it.
    pattern = None if other.shape == shape else FUSES_EPILOGUE
    result = place.emit(lambda *x: quantize.joined(operation, *x), *arguments, name=name, pattern=pattern)
    return Value(result, shape, block, layer=layer)


def relu(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Note a lower bound on sums."""
    value = place.held(call.args[0])
    held = value.quantization
    if held is None or value.dtype != "int32":
        return None
    return replace(value, quantization=replace(held, low=max(held.low, 0.0), high=max(held.high, 0.0)))


def clip_bound(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Note a bound on sums, which the importer writes as a maximum or minimum with a scalar."""
    data, *bounds = call.args[1].fields
    operator = extremum(place.module[call.args[0]])
    value, bound = place.held(data), place.value(bounds[0]).constant if len(bounds) == 1 else None
    held = value.quantization
    if operator is None or held is None or value.dtype != "int32" or bound is None or bound.size != 1:
        return None
    limit = float(bound.item())
    if operator is relax.op.maximum:
        return replace(value, quantization=replace(held, low=max(held.low, limit), high=max(held.high, limit)))
    return replace(value, quantization=replace(held, low=min(held.low, limit), high=min(held.high, limit)))


def matmul(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Run a dense layer on 8-bit integers; the result is the exact sums."""
    data, weight = place.held(call.args[0]), place.held(call.args[1])
    array = _weights(data, weight, axis=1)
    if array is None or array.ndim != 2 or len(data.shape) != 2:
        return None
    packed = place.weights(dense.pack(array, place.cpu))
    sums = place.emit(lambda x, w: dense.compute(x, w, shape[1], place.cpu), place.plain(data), packed, name="dense")
    place.account(
        "dense", data.shape, array.shape[::-1], shape, ran="dense", macs=prod(shape) * array.shape[0], dtype="int8",
        arithmetic=_arithmetic(place, data), name=place.name("dense", array),
    )  # fmt: skip
    offset = known(data).zero.reshape(1, 1) * array.sum(axis=0, dtype=np.int32).reshape(1, -1)
    scale = known(data).scale.reshape(1, 1) * known(weight).scale.reshape(1, -1)
    return Value(sums, shape, 0, Quantization(np.broadcast_to(scale, offset.shape), offset))


def reshape(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Reshape or transpose quantized constants and, quantized as a whole, tensors."""
    value = place.held(call.args[0])
    held, array = value.quantization, value.constant
    if held is None:
        return None
    if array is not None:
        axes = call.attrs.axes if call.op.name == "relax.permute_dims" else None
        moved, scale, zero = (_moved(each, array.shape, axes, shape) for each in (array, held.scale, held.zero))
        if moved is None or scale is None or zero is None:
            return None
        return Value(relax.const(np.ascontiguousarray(moved)), shape, 0, Quantization(scale, zero))
    if not held.per_tensor or call.op.name == "relax.permute_dims":
        return None
    return Value(place.builder.emit(relax.op.reshape(place.plain(value), shape)), shape, 0, held)


def _moved(array: NDArray[Any], old: tuple[int, ...], axes: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return a constant, or what broadcasts against it, transposed by `axes` or reshaped to `shape`."""
    if array.size == 1:
        return array.reshape([1] * len(shape))
    if axes is not None:
        return array.transpose([int(axis) for axis in axes])
    return array.reshape(shape) if array.size == prod(old) else None


def pool(kind: str) -> Rule:
    """Return the rule for pooling of `kind` max or avg: the greatest integer or, as sums, the average."""

    def rule(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
        data, attributes = place.held(call.args[0]), call.attrs
        if not eight_bits(data) or (kind == "avg" and not even_pool(attributes)):
            return None
        held = known(data)
        window = window_of(attributes, data.shape, shape)
        block = place.block(data.shape[1], data)
        zero = int(held.zero)
        place.recorder.follows(data, Problem(f"{kind}_pool2d", window, dtype="int8"))
        result = place.emit(
            lambda x: pooling.compute(window, x, kind, False, place.cpu, zero),
            place.blocked(data, block, data.layer), name=f"{kind}_pool2d",
        )  # fmt: skip
        place.account(
            f"{kind}_pool2d", data.shape, (), shape, ran="window", stride=window.stride, padding=window.padding,
            dilation=window.dilation, dtype="int8", arithmetic=data.dtype if kind == "max" else "int32",
        )  # fmt: skip
        stands_for = held if kind == "max" else _averaged(held, prod(window.kernel))
        return Value(result, shape, block, stands_for, layer=data.layer)

    return rule


def mean(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Average over height and width as global average pooling, in sums."""
    data = place.held(call.args[0])
    axes = sorted(int(axis) % 4 for axis in call.attrs.axis or ())
    if not eight_bits(data) or not data.block or axes != [2, 3]:
        return None
    held = known(data)
    result = place.emit(lambda x: pooling.mean(x, data.shape[1], place.cpu), data.expression, name="global_avg_pool2d")
    place.account("global_avg_pool2d", data.shape, (), shape, ran="mean", dtype="int8", arithmetic="int32")
    if not call.attrs.keepdims:
        result = place.builder.emit(relax.op.reshape(result, shape))
    return Value(result, shape, 0, _averaged(held, data.shape[2] * data.shape[3]))


def _averaged(held: Quantization, count: int) -> Quantization:
    """Return what sums of `count` integers stand for, divided by `count`."""
    return Quantization((held.scale / np.float32(count)).astype(np.float32), (held.zero * count).astype(np.int32))


def concat(place: Placement, call: Any, shape: tuple[int, ...]) -> Value | None:
    """Concatenate integers along channels as they are; each channel then has the scale and zero of its own part."""
    values = [place.held(field) for field in getattr(call.args[0], "fields", ())]
    if len(shape) != 4 or int(call.attrs.axis) % 4 != 1 or not any(value.block for value in values):
        return None
    if not all(eight_bits(value) for value in values):
        return None
    block, channels = place.block(shape[1]), [value.shape[1] for value in values]
    parts = [place.blocked(value, place.block(value.shape[1], value), value.layer) for value in values]
    result = place.emit(
        lambda *x: layout.concatenate(x, channels, block, place.cpu.lanes()), *parts, name="concat", pattern=None
    )
    stated = [value.quantization for value in values if value.quantization]
    if all(each == stated[0] for each in stated):
        return Value(result, shape, block, stated[0])
    scale, zero = (
        np.concatenate([np.full(size, array.item()) for size, array in zip(channels, arrays, strict=True)])
        for arrays in ([each.scale for each in stated], [each.zero for each in stated])
    )
    column = (1, -1, 1, 1)
    quantization = Quantization(scale.astype(np.float32).reshape(column), zero.astype(np.int32).reshape(column))
    return Value(result, shape, block, quantization)


QUANTIZED: dict[str, Rule] = {
    "relax.quantize": quantize_linear,
    "relax.dequantize": dequantize_linear,
    "relax.nn.conv2d": conv2d,
    "relax.add": add,
    "relax.multiply": multiply,
    "relax.nn.relu": relu,
    "relax.call_tir": clip_bound,
    "relax.matmul": matmul,
    "relax.nn.max_pool2d": pool("max"),
    "relax.nn.avg_pool2d": pool("avg"),
    "relax.mean": mean,
    "relax.concat": concat,
    "relax.reshape": reshape,
    "relax.expand_dims": reshape,
    "relax.permute_dims": reshape,
}


def _arithmetic(place: Placement, data: Value) -> str:
    """Return the dtype in which the processor multiplies."""
    dot = dot_of(data.dtype, place.cpu)
    return dot.weight if dot.instruction else dot.sums


def _weights(data: Value, weight: Value, axis: int) -> NDArray[np.int8] | None:
    """Return the weights if they and the data are integers that the instructions can multiply."""
    array = weight.constant
    if not eight_bits(data) or weight.quantization is None or array is None or array.dtype != np.int8:
        return None
    symmetric = not weight.quantization.zero.any()
    by_output = weight.quantization.scale.size in (1, array.shape[axis])
    return array if symmetric and by_output else None
