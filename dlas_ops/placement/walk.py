"""Relax module of framework operators → tensor programs of the chosen algorithm in blocked layouts, and an account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import layout, points_innermost
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.activations import ACTIVATIONS
from dlas_ops.kernels.shared.blocks import FUSES_EPILOGUE
from dlas_ops.onnx.names import WeightNames
from dlas_ops.placement.account import Layer
from dlas_ops.placement.graph import Recorder
from dlas_ops.placement.in_place_concat import Growing
from dlas_ops.placement.quantized import QUANTIZED
from dlas_ops.placement.rules import ELEMENTWISE, FOLDED, RULES
from dlas_ops.placement.scales import realized
from dlas_ops.placement.tables import tabulated
from dlas_ops.placement.value import Value, shape_of
from dlas_ops.processor.targets import Cpu, describe

relax = tvm.relax

NO_HALF = "float32 ({} no arithmetic in float16)"


class Placement:
    """Rewrites one dataflow function, keeping activations in the layout that the convolutions want.

    Every binding is replaced by the rule for its operator, by the same element-wise operator on blocked tensors or,
    where neither applies, by the operator as it is on plain tensors. `layers` is the account afterwards.

    Parameters
    ----------
    choices : what is asked for each layer
    names : of the weights
    half : whether to store what is float32 in float16. What follows a layer element by element is computed in float32,
        before its result is rounded. So where two layers are joined element by element, one of their
        results, which is read once, stays float32.
    """

    def __init__(self, module: Any, target: Any, choices: Choices, names: WeightNames, half: bool = False) -> None:
        self.module = module
        self.target = target
        self.cpu: Cpu = describe(target)
        self.choices = choices
        self.names = names
        self.half = half
        self.layers: list[Layer] = []
        self.growing = Growing(module["main"])
        self.builder = relax.BlockBuilder()
        self.values: dict[Any, Value] = {}
        self.conversions: dict[tuple[Any, int], Any] = {}
        self.recorder = Recorder()
        self.kept: set[Any] = set()
        self.stored_bytes = 0  # of the weights of the layer being placed

    def run(self) -> Any:
        """Return the rewritten module."""
        function = self.module["main"]
        parameters = [relax.Var(str(var.name), var.ty) for var in function.params]
        self.kept = {var for block in function.body.blocks for var in _kept(block)}
        with self.builder.function("main", parameters):
            with self.builder.dataflow():
                for old, new in zip(function.params, parameters, strict=True):
                    self.values[old] = replace(self.computed(new, shape_of(old)), wide=None)
                for block in function.body.blocks:
                    for binding in block.bindings:
                        value = self.place(binding.var, binding.value)
                        self.values[binding.var] = replace(value, wide=None) if binding.var in self.kept else value
                result = self.builder.emit_output(self.rewritten(function.body.body))
            self.builder.emit_func_output(result)
        return self.builder.get()

    def place(self, var: Any, call: Any) -> Value:
        """Return what takes the place of the binding `var` = `call`."""
        operator = _operator(call)
        shape = shape_of(var)
        value = QUANTIZED[operator](self, call, shape) if operator in QUANTIZED else None
        if value is None and operator in FOLDED:
            value = self.folded(FOLDED[operator], call)
        if value is None and operator in RULES:
            value = RULES[operator](self, call, shape)
        if value is None and operator in ELEMENTWISE:
            value = self.elementwise(call, shape)
        value = value or self.computed(self.rewritten(call), shape)
        if value.quantization is None and (table := tabulated(self, operator, call)):
            return replace(value, table=table)
        return value

    def computed(self, expression: Any, shape: tuple[int, ...], block: int = 0, layer: str = "") -> Value:
        """Return the value of a result: as it was computed and, if that is to be stored in half, rounded to it."""
        # A variable bound to another variable would keep operators from fusing.
        result = expression if isinstance(expression, relax.Var) else self.builder.emit(expression)
        if not self.half or _dtype(result) != "float32":
            return Value(result, shape, block, layer=layer)
        stored = self.builder.emit(relax.op.astype(result, "float16"))
        return Value(stored, shape, block, layer=layer, wide=result)

    def wide(self, value: Value) -> Any:
        """Return `value`, in its layout, in the dtype of element-wise arithmetic."""
        return self.widened(value.expression) if value.wide is None else value.wide

    def widened(self, expression: Any) -> Any:
        """Return a stored tensor in the dtype of element-wise arithmetic."""
        if _dtype(expression) != "float16":
            return expression
        return self.builder.emit(relax.op.astype(expression, "float32"))

    def stored(self, weight: NDArray[Any]) -> str:
        """Return the dtype that `weight` is stored in."""
        return "float16" if self.half and weight.dtype == np.float32 else str(weight.dtype)

    def weights(self, packed: NDArray[Any]) -> Any:
        """Return packed weights of the layer that is accounted for next, float32 in the dtype that is stored.

        Raises
        ------
        ValueError
            If a weight is beyond the range of that dtype.
        """
        stored = self.rounded(packed)
        self.stored_bytes += stored.nbytes
        return relax.const(stored)

    def rounded(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Return weights, if they are float32 in the dtype that is stored; see `weights` for errors."""
        if not self.half or weights.dtype != np.float32:
            return weights
        with np.errstate(over="ignore"):
            rounded = weights.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise ValueError(f"a weight of {np.abs(weights).max():g} is beyond the range of float16")
        return rounded

    def held(self, expression: Any) -> Value:
        """Return the value of an argument, quantized or not: of a variable its present one, of a constant itself."""
        known = self.values.get(expression) if isinstance(expression, tvm.ir.expr.Var) else None
        return known or Value(expression, shape_of(expression))

    def value(self, expression: Any) -> Value:
        """Return the value of an argument as the dtype that the network gives it."""
        held = self.held(expression)
        return realized(self, held, str(expression.ty.dtype.dtype)) if held.quantization else held

    def rewritten(self, expression: Any) -> Any:
        """Return `expression` over plain tensors."""
        if isinstance(expression, relax.Tuple):
            return relax.Tuple([self.rewritten(field) for field in expression.fields])
        if isinstance(expression, relax.TupleGetItem):
            return relax.TupleGetItem(self.rewritten(expression.tuple_value), expression.index)
        if isinstance(expression, relax.Call):
            arguments = [self.rewritten(argument) for argument in expression.args]
            if expression.op.name == "relax.call_tir":
                function = expression.args[0]
                arguments[0] = self.builder.add_func(self.module[function], function.name_hint)
            return relax.Call(expression.op, arguments, expression.attrs, expression.ty_args)
        if isinstance(expression, tvm.ir.expr.Var) and expression in self.values:
            value = self.value(expression)
            return self.widened(self.plain(value)) if value.block else self.wide(value)
        return expression

    def plain(self, value: Value) -> Any:
        """Return `value` as an unblocked tensor."""
        if not value.block:
            return value.expression
        self.recorder.reads(value, None)
        unpack = points_innermost.scatter if value.block == POINTS else layout.unpack
        return self.converted(value, 0, lambda x: unpack(x, value.shape), "unpack")

    def blocked(self, value: Value, block: int, layer: str = "") -> Any:
        """Return `value` in channel blocks of `block` or, if that is `POINTS`, with its points innermost.

        `layer` is the one whose algorithm decided the block.
        """
        self.recorder.reads(value, layer)
        if value.block == block:
            return value.expression

        def pack(x: Any) -> Any:
            if block == POINTS:
                return points_innermost.gather(x, value.shape, self.cpu)
            return (points_innermost.scatter if value.block == POINTS else layout.pack)(x, value.shape, block)

        return self.converted(value, block, pack, "pack")

    def converted(self, value: Value, block: int, compute: Callable[[Any], Any], name: str) -> Any:
        """Return `value` converted by `compute`, once for all that read it in `block`."""
        key = value.expression, block
        if key not in self.conversions:
            self.conversions[key] = self.emit(compute, value.expression, name=name, pattern=None)
        return self.conversions[key]

    def emit(
        self, compute: Callable[..., Any], *arguments: Any, name: str, pattern: int | None = FUSES_EPILOGUE
    ) -> Any:
        """Emit a call of the tensor program that `compute` builds; `pattern` None lets Relax find how it fuses."""
        attributes = {} if pattern is None else {"primfunc_attrs": {"op_pattern": pattern}}
        return self.builder.emit_te(compute, *arguments, primfunc_name_hint=name, **attributes)

    def folded(self, fold: Callable[..., Any], call: Any) -> Value | None:
        """Compute an operator on constants in NumPy; Relax's own folding compiles every call."""
        arrays = [self.value(argument).constant for argument in call.args if not isinstance(argument, relax.ShapeExpr)]
        if any(array is None for array in arrays):
            return None
        result = np.ascontiguousarray(fold(call, *arrays)).reshape(shape_of(call))
        return Value(relax.const(result), result.shape)

    def elementwise(self, call: Any, shape: tuple[int, ...]) -> Value | None:
        """Apply an element-wise operator in the layout of its blocked argument."""
        values = [self.value(argument) for argument in call.args]
        arguments, block, layer = self.alike(values, shape)
        if not block:
            return None
        call = relax.Call(call.op, arguments, call.attrs, call.ty_args)
        return self.computed(call, shape, block, layer)

    def alike(self, values: Sequence[Value], shape: tuple[int, ...]) -> tuple[list[Any], int, str]:
        """Return `values` so that they broadcast to `shape` in channel blocks, the block and the layer that decided it.

        They are in the dtype of element-wise arithmetic. The layer is the last of theirs, which the operator can be
        fused to. Block 0 means that they cannot broadcast.
        """
        whole = [value for value in values if value.shape == shape and value.block]
        if not whole or len(shape) != 4:
            return [], 0, ""
        last = max(whole, key=lambda value: self.recorder.position(value.layer))
        block, layer = last.block, last.layer
        arguments = []
        for value in values:
            array = value.constant
            if array is not None:
                arguments.append(relax.const(self.constant(array, shape, block)) if array.ndim else value.expression)
            elif not isinstance(value.expression.ty, relax.TensorType):  # a number, such as a bound of Clip
                arguments.append(value.expression)
            elif len(value.shape) == 4 and value.shape[1] == shape[1]:
                stored = self.blocked(value, block, layer)
                arguments.append(self.wide(value) if value.block == block else self.widened(stored))
            else:
                return [], 0, ""
        return arguments, block, layer

    def constant(self, array: NDArray[Any], shape: Sequence[int], block: int) -> NDArray[Any]:
        """Return an array that broadcasts against NCHW of `shape` such that it does so in channel blocks or points."""
        return (
            points_innermost.constant(array, shape[2:], self.cpu)
            if block == POINTS
            else layout.pack_constant(array, block)
        )

    def block(self, channels: int, value: Value | None = None) -> int:
        """Return the channel block for what runs in channel blocks only: that of `value`, if it is in such blocks."""
        if value and value.block > 0:
            return value.block
        own = int(self.choices.other.module.block(channels, self.cpu))
        return own if own > 0 else self.cpu.lanes()

    def name(self, operator: str, weight: NDArray[Any] | None = None) -> str:
        """Return the name of a new layer: its weight's, given as the model has it, or its operator with a number."""
        number = sum(layer.operator == operator for layer in self.layers)
        return ("" if weight is None else self.names.take(weight)) or f"{operator}_{number}"

    def account(
        self, operator: str, input: Sequence[int], weight: Sequence[int], output: Sequence[int], **fields: Any
    ) -> None:
        """Add a layer; without `asked` there was no choice but what `ran`."""
        fields.setdefault("asked", fields["ran"])
        if self.half and "dtype" not in fields:
            lacks = "the layer has" if self.cpu.half else "the processor has"
            fields |= {"dtype": "float16", "arithmetic": NO_HALF.format(lacks)}
        if "name" not in fields:
            fields["name"] = self.name(operator)
        fields["stored_bytes"] = self.stored_bytes
        self.layers.append(
            Layer(operator=operator, input=tuple(input), weight=tuple(weight), output=tuple(output), **fields)
        )
        self.stored_bytes = 0


def _operator(expression: Any) -> str:
    return str(getattr(getattr(expression, "op", None), "name", type(expression).__name__))


def _dtype(expression: Any) -> str:
    return str(getattr(expression.ty, "dtype", ""))


def _kept(block: Any) -> list[Any]:
    """Return the variables that several operators of `block` read, not all of them element by element."""
    operators = {binding.var: _operator(binding.value) for binding in block.bindings}
    readers = {var: [operators[user] for user in users] for var, users in relax.analysis.udchain(block).items()}
    at_once = {*ELEMENTWISE, *ACTIVATIONS}
    return [var for var, names in readers.items() if len(names) > 1 and not at_once.issuperset(names)]
