"""Convolutions of floats → the algorithm asked for or the one that runs in its place, in the layout it wants.

One over lines or volumes runs as the two-dimensional one that computes it; see `dlas_ops.kernels.shared.dimensions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import NamedTuple, Unpack

from dlas_ops._types import Array, Attributes, Call, Expr, Shape
from dlas_ops.kernels.operators import depthwise, grouped, volumes
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.shared.blocks import NARROW
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import RANKS, Slices, Window, conv_of, kernels_of, slices_of
from dlas_ops.placement.account import LayerFields, Precision
from dlas_ops.placement.context import Context
from dlas_ops.placement.graph import Problem, problem_of
from dlas_ops.placement.rules.attributes import window_of
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value
from dlas_ops.processor import half

# Runs the ungrouped convolutions that the algorithm asked for cannot run.
FALLBACK = "spatial_pack"

# Importers write channels second.
CHANNELS_SECOND = ("NCW", "NCHW", "NCDHW")
OPERATORS = ("relax.nn.conv1d", "relax.nn.conv2d", "relax.nn.conv3d")


@dataclass(frozen=True)
class Convolution:
    """A convolution to be placed, over lines, maps or volumes.

    Attributes
    ----------
    name : name of the layer
    weight : (outputs, inputs of a group, kernel)
    border : the value that lies around the input: the zero point of integers
    """

    name: str
    window: Window
    groups: int
    data: Value
    weight: Array
    border: int = 0

    @cached_property
    def conv(self) -> Conv:
        """The two-dimensional convolution that computes it."""
        return conv_of(self.data.shape, self.weight.shape[0], self.window, self.groups)

    @cached_property
    def kernels(self) -> Array:
        """The OIHW weights of `conv`."""
        return kernels_of(self.weight)

    @property
    def slices(self) -> Slices | None:
        """The slices of a volume that one slice of the result reads; None where that is just one."""
        return slices_of(self.data.shape, self.window, self.groups)

    @property
    def shape(self) -> Shape:
        """The shape of the result."""
        return self.data.shape[0], self.weight.shape[0], *self.window.output(self.data.shape[2:])

    @property
    def operator(self) -> str:
        """Its name in the account: `Conv.operator` of as many dimensions as the layer has."""
        return operator_of(f"conv{len(self.data.shape) - 2}d", self.groups, self.data.shape[1], self.weight.shape[0])

    def source(self, context: Context, block: int, layer: str) -> Expr:
        """Return the input of `conv` in channel blocks of `block` or, where it is 0, as NCHW.

        `layer` is the one whose algorithm decided the block.
        """
        data, slices = self.data, self.slices
        if slices is None:
            return context.blocked(data, block, layer) if block else context.mapped(data)
        wanted = max(block, 0)
        held = context.in_blocks(data) if data.block > 0 else context.mapped(data)
        stacked = context.emit(
            lambda x: volumes.stacked(x, data.shape, slices, wanted, context.cpu.lanes(), self.border), held,
            name="stacked", pattern=None,
        )  # fmt: skip
        return stacked


def operator_of(name: str, groups: int, inputs: int, outputs: int) -> str:
    """Return the account's name of a convolution called `name` without groups."""
    if groups == 1:
        return name
    return f"depthwise_{name}" if groups == inputs == outputs else f"grouped_{name}"


@places(*OPERATORS)
def conv(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run a convolution on the chosen algorithm, a depthwise or grouped one on its own schedule."""
    data, weight = context.value(call.args[0]), context.value(call.args[1]).constant
    if weight is None or call.attrs.data_layout not in CHANNELS_SECOND or len(shape) not in RANKS:
        return None
    quantized = any(context.held(argument).quantization for argument in call.args[:2])
    reason = "int8 takes activations of one scale and int8 weights without zero point" if quantized else ""
    layer = convolution_of("", call.attrs, data, weight)
    name = context.name(layer.operator, context.held(call.args[1]).constant)
    layer = convolution_of(name, call.attrs, data, weight)
    value, ran = convolved(context, layer, reason)
    account(context, layer, ran)
    return value


def convolution_of(name: str, attributes: Attributes, data: Value, weight: Array, border: int = 0) -> Convolution:
    """Return the convolution of `data` with `weight` that an operator of `attributes` is."""
    window = window_of(attributes, weight.shape[2:])
    return Convolution(name, window, int(attributes.groups), data, weight, border)


def account(context: Context, layer: Convolution, ran: LayerFields) -> None:
    """Add a convolution to the account, as the network has it."""
    shapes = layer.data.shape, layer.weight.shape, layer.shape
    macs = prod(layer.shape) * prod(layer.weight.shape[1:])
    context.account(layer.operator, *shapes, **stated(ran, layer.window, layer.groups, macs))


def stated(ran: LayerFields, window: Window, groups: int, macs: int) -> LayerFields:
    """Return what the account says of a convolution of `window` that `ran` says the rest of."""
    ran |= {"stride": window.stride, "padding": (*window.begin, *window.end), "dilation": window.dilation}
    ran |= {"groups": groups, "macs": macs}
    return ran


class Own(NamedTuple):
    """A schedule of its own that a convolution with groups has.

    Attributes
    ----------
    place : places the layer
    precision : the account's dtype and arithmetic in narrow floats; nothing if it computes in float32
    """

    name: str
    place: Callable[[], Value]
    precision: Precision


def convolved(
    context: Context, layer: Convolution, reason: str = "", own: Own | None = None, **precision: Unpack[Precision]
) -> tuple[Value, LayerFields]:
    """Convolve on the algorithm asked for, or on the one that runs in its place; return the result, and how it ran.

    Parameters
    ----------
    reason : why the layer does not run in the dtype asked for
    own : what runs it where no algorithm does; by default the schedule of depthwise or of grouped convolutions
    precision : the account's dtype and arithmetic for integers
    """
    name, conv, weight = layer.name, layer.conv, layer.kernels
    dtype = context.stored(weight)
    asked = context.choices.of(name)
    problem = problem_of(conv, weight, dtype, asked.format, context.target, plain=_is_plain(layer))
    if problem:
        context.recorder.decides(name, problem)
    ran, reasons = _runnable(context, asked, conv, dtype)
    if ran is not None:
        value, narrow, runs = _placed(context, ran, layer), _precision(context, dtype, ran), str(ran)
    else:
        own = own or _own(context, layer, dtype)
        value, narrow, runs = own.place(), own.precision, f"{own.name}/dense"
    if dtype in NARROW:
        precision = narrow
    how: LayerFields = {"ran": runs, "name": name, "reason": reason}
    if precision:
        how |= {"dtype": precision["dtype"], "arithmetic": precision["arithmetic"]}
    # Without a problem no algorithm can be asked for; a format can.
    if problem or Asked.parse(asked.selected_by or str(asked)).format != "dense":
        how |= {"asked": asked.selected_by or str(asked), "reason": "; ".join(reasons + [reason] * bool(reason))}
        how |= {"measured": context.choices.measured.get(name, {})}
    return value, how


def _is_plain(layer: Convolution) -> bool:
    """Tell whether the algorithm itself blocks the input."""
    return not layer.data.block and layer.slices is None


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
    conv, algorithm = layer.conv, asked.module
    # Algorithms that do not implement integers know no border but zeros.
    inside = {"border": layer.border} if layer.border else {}
    # Weights are rounded first, because their dtype decides how they are packed: float16 in pairs where the processor
    # multiplies pairs.
    packed = algorithm.pack(context.rounded(layer.kernels), conv, context.cpu)
    parts = [context.weights(part) for part in (packed if isinstance(packed, tuple) else (packed,))]
    wanted = algorithm.block(conv.in_channels, context.cpu)
    # The algorithm itself blocks a plain input, the network's own, together with its border.
    source = layer.source(context, 0 if _is_plain(layer) else wanted, layer.name)
    result = context.emit(
        lambda x, *w: algorithm.compute(conv, x, *w, context.cpu, **inside), source, *parts,
        name=f"conv2d_{asked.algorithm}",
    )  # fmt: skip
    return context.computed(result, layer.shape, algorithm.block(conv.out_channels, context.cpu), layer.name)


def _precision(context: Context, dtype: str, ran: Asked) -> Precision:
    """Return dtype and arithmetic of an algorithm that computes in the narrow `dtype`; nothing if in float32."""
    if dtype == "float16" and context.cpu.half and getattr(ran.module, "HALF", False):
        return {"dtype": dtype, "arithmetic": half.ARITHMETIC}
    return context.of_products(dtype)


def _own(context: Context, layer: Convolution, dtype: str) -> Own:
    """Return the schedule of depthwise or of grouped convolutions for `layer`."""
    if not layer.operator.startswith("depthwise"):
        return Own("grouped", lambda: _grouped(context, layer), context.of_products(dtype, matrices=False))
    in_half = layer.slices is None and depthwise.in_half(layer.conv, dtype, context.cpu)
    precision: Precision = {"dtype": dtype, "arithmetic": dtype} if in_half else {}
    return Own("depthwise", lambda: _depthwise(context, layer), precision)


def _depthwise(context: Context, layer: Convolution) -> Value:
    data, slices = layer.data, layer.slices
    block = context.block(data.shape[1], data)
    conv = layer.conv
    if slices is None:
        context.recorder.follows(data, Problem(conv.operator, conv, dtype=context.stored(layer.weight)))
        weight = layer.kernels
    else:
        batch, channels, *_ = data.maps
        conv = replace(conv, batch=batch, in_channels=channels)
        weight = layer.weight
    packed = context.weights(depthwise.pack(weight, -(-data.shape[1] // block), block))
    result = context.emit(
        lambda x, w: depthwise.compute(conv, x, w, context.cpu, layer.border, slices),
        context.blocked(data, block, data.layer), packed, name="depthwise_conv2d",
    )  # fmt: skip
    return context.computed(result, layer.shape, block, data.layer)


def _grouped(context: Context, layer: Convolution) -> Value:
    conv, data = layer.conv, layer.data
    packed = context.weights(grouped.pack(context.rounded(layer.kernels), conv, context.cpu))
    block = context.block(conv.out_channels)
    # It gathers its input from any blocks itself.
    source = layer.source(context, 0 if data.block == POINTS else data.block, data.layer)
    result = context.emit(
        lambda x, w: grouped.compute(conv, x, w, block, context.cpu, layer.border), source, packed,
        name="grouped_conv2d",
    )  # fmt: skip
    return context.computed(result, layer.shape, block)
