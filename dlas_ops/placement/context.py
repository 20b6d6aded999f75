"""Relax module, target and choices → the values, layouts and account that every rule reads and adds to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, BlockBuilder, Compute, Expr, IRModule, Shape, Target, Tensor, Var
from dlas_ops.kernels.operators import layout, points_innermost
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.blocks import FUSES_EPILOGUE, NARROW
from dlas_ops.kernels.shared.dimensions import constant_maps, maps_of
from dlas_ops.onnx.names import WeightNames
from dlas_ops.placement.account import Layer, LayerFields, Precision
from dlas_ops.placement.graph import Recorder
from dlas_ops.placement.in_place_concat import Growing
from dlas_ops.placement.integers import realized
from dlas_ops.placement.operators import name_of
from dlas_ops.placement.value import Value, dtype_of, shape_of
from dlas_ops.processor import bfloat
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.targets import Processor, describe

relax = tvm.relax

# Operators whose result may be the integers that they read, as they are.
RESTATING = ("relax.quantize", "relax.dequantize", "relax.multiply", "relax.divide")


class Context:
    """The state that the rules share while they place the operators of one dataflow function in order.

    Parameters
    ----------
    choices : the algorithm and format asked for each layer
    names : names of the weights
    narrow : the dtype to store float32 tensors in, float16 or bfloat16; "" for float32. Element-wise operators after a
        layer compute in float32, before the result is rounded. So where an element-wise operator joins two layers, the
        result of one of them, which only this operator reads, stays float32.

    Attributes
    ----------
    bound : variable of the network → what is bound to it
    values : variable of the network → the value that stands for it
    layers : the account of the operators placed so far
    recorder : gathers the layers that an algorithm can be chosen for, and the tensors where layouts meet
    growing : the concatenations that grow in place
    line_of : call of the network that another operator may take in → position of its line in the account
    taken_in : positions of such lines whose operators another one took in
    layer_of : constant of packed weights → position of its layer in the account
    """

    def __init__(self, module: IRModule, target: Target, choices: Choices, names: WeightNames, narrow: str) -> None:
        self.module = module
        self.target = target
        self.cpu: Processor = describe(target)
        self.choices = choices
        self.narrow = narrow
        bindings = (binding for block in module["main"].body.blocks for binding in block.bindings)
        self.bound: dict[Expr, Expr] = {binding.var: binding.value for binding in bindings}
        self.values: dict[Expr, Value] = {}
        self.layers: list[Layer] = []
        self.recorder = Recorder()
        self.growing = Growing(module["main"])
        self.layer_of: dict[Expr, int] = {}
        self.builder: BlockBuilder = relax.BlockBuilder()
        self.line_of: dict[Expr, int] = {}
        self.taken_in: set[int] = set()
        self._names = names
        self._realized: dict[Expr, Value] = {}
        self._made: dict[Expr, Expr] | None = None
        self._readers: dict[Expr, int] | None = None
        self._conversions: dict[tuple[Expr, int], Var] = {}
        self._packed: list[Expr] = []  # the weights of the layer being placed
        self._nonzeros = 0  # of these, as the network has them

    # The values of the network's expressions.

    def held(self, expression: Expr) -> Value:
        """Return the value that stands for an argument, quantized or not; a constant stands for itself."""
        known = self.values.get(expression) if isinstance(expression, relax.Var) else None
        return known or Value(expression, shape_of(expression))

    def made(self, variable: Expr) -> Expr | None:
        """Return the expression of the network that is bound to `variable`, or None for an argument or a constant."""
        if self._made is None:
            blocks = self.module["main"].body.blocks
            self._made = {binding.var: binding.value for block in blocks for binding in block.bindings}
        return self._made.get(variable) if isinstance(variable, relax.Var) else None

    def readers(self, variable: Expr) -> int:
        """Return how many operators of the network read `variable`."""
        if self._readers is None:
            chains = [relax.analysis.udchain(block) for block in self.module["main"].body.blocks]
            self._readers = {read: len(users) for chain in chains for read, users in chain.items()}
        return self._readers.get(variable, 0)

    def value(self, expression: Expr) -> Value:
        """Return the value of an argument in the dtype that the network declares."""
        held = self.held(expression)
        if not held.quantization:
            return held
        if held.dtype != "int32":
            return realized(self.emit, held, dtype_of(expression))
        # The sums of a layer become floats once for all that read them: only so is that a part of the layer.
        if expression not in self._realized:
            self._realized[expression] = realized(self.emit, held, dtype_of(expression))
        return self._realized[expression]

    def first(self, expression: Expr) -> Expr:
        """Return the first variable of the network that holds the same integers as `expression`; itself without any.

        Between the two, operators only say otherwise which reals the integers stand for.
        """
        held, earlier = self.held(expression), expression
        while held.quantization and name_of(self.bound.get(earlier)) in RESTATING:
            earlier = self.bound[earlier].args[0]
            if self.held(earlier).expression.same_as(held.expression):
                expression = earlier
        return expression

    def rewritten(self, expression: Expr) -> Expr:
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
        if isinstance(expression, relax.Var) and expression in self.values:
            value = self.value(expression)
            return self.widened(self.plain(value)) if value.block else self.wide(value)
        return expression

    # Emitting.

    def emit(self, compute: Compute, *arguments: Expr, name: str, pattern: int | None = FUSES_EPILOGUE) -> Var:
        """Emit a call of the tensor program that `compute` builds; `pattern` None lets Relax find how it fuses."""
        attributes = {} if pattern is None else {"primfunc_attrs": {"op_pattern": pattern}}
        return self.builder.emit_te(compute, *arguments, primfunc_name_hint=name, **attributes)

    def computed(self, expression: Expr, shape: Shape, block: int = 0, layer: str = "") -> Value:
        """Return the value of a result; with `narrow`, that of a float32 one holds it rounded, and itself as `wide`."""
        # A variable bound to another variable would keep operators from fusing.
        result = expression if isinstance(expression, relax.Var) else self.builder.emit(expression)
        if not self.narrow or dtype_of(result) != "float32":
            return Value(result, shape, block, layer=layer)
        stored = self.builder.emit(relax.op.astype(result, self.narrow))
        return Value(stored, shape, block, layer=layer, wide=result)

    # Dtypes.

    def wide(self, value: Value) -> Expr:
        """Return `value`, in its layout, in the dtype of element-wise arithmetic."""
        return self.widened(value.expression) if value.wide is None else value.wide

    def widened(self, expression: Expr) -> Expr:
        """Return a stored tensor in the dtype of element-wise arithmetic."""
        if dtype_of(expression) not in NARROW:
            return expression
        return self.builder.emit(relax.op.astype(expression, "float32"))

    def stored(self, weight: Array) -> str:
        """Return the dtype that `weight` is stored in."""
        return self.narrow if self.narrow and weight.dtype == np.float32 else str(weight.dtype)

    def weights(self, packed: Array) -> Expr:
        """Return packed weights as a constant in the dtype that is stored; the next layer of the account counts them.

        Raises
        ------
        ValueError
            If a weight is beyond the range of that dtype.
        """
        self._packed.append(relax.const(self.rounded(packed)))
        return self._packed[-1]

    def rounded(self, weights: Array) -> Array:
        """Return `weights`, with `narrow` float32 ones rounded to it; see the method `weights` for errors."""
        if not self.narrow or weights.dtype != np.float32:
            return weights
        with np.errstate(over="ignore"):
            rounded = weights.astype(np.dtype(self.narrow))
        if not np.isfinite(rounded.astype(np.float32)).all():
            raise ValueError(f"a weight of {np.abs(weights).max():g} is beyond the range of {self.narrow}")
        return rounded

    # Layouts.

    def block(self, channels: int, value: Value | None = None) -> int:
        """Return the channel block for an operator that needs one: that of `value`, if it is in channel blocks."""
        if value and value.block > 0:
            return value.block
        own = int(self.choices.other.module.block(channels, self.cpu))
        return own if own > 0 else self.cpu.lanes()

    def plain(self, value: Value) -> Expr:
        """Return `value` as an unblocked tensor."""
        if not value.block:
            return value.expression
        self.recorder.reads(value, None)
        unpack = points_innermost.scatter if value.block == POINTS else layout.unpack
        return self._converted(value, 0, lambda x: unpack(x, value.shape), "unpack")

    def blocked(self, value: Value, block: int, layer: str = "") -> Expr:
        """Return `value` in channel blocks of `block` or, if that is `POINTS`, with its points innermost.

        `layer` is the one whose algorithm decided the block.
        """
        self.recorder.reads(value, layer)
        if value.block == block:
            return value.expression

        def pack(x: Tensor) -> Tensor:
            held = x if value.block else layout.as_maps(x, value.shape)
            if block == POINTS:
                return points_innermost.gather(held, value.maps, self.cpu)
            return (points_innermost.scatter if value.block == POINTS else layout.pack)(held, value.maps, block)

        return self._converted(value, block, pack, "pack")

    def mapped(self, value: Value) -> Expr:
        """Return `value` unblocked, as NCHW maps."""
        plain = self.plain(value)
        if len(value.shape) == 4:
            return plain
        if len(value.shape) == 3:
            return self.builder.emit(relax.op.reshape(plain, value.maps))
        return self.emit(lambda x: layout.as_maps(x, value.shape), plain, name="maps", pattern=None)

    def in_blocks(self, value: Value) -> Expr:
        """Return `value` in the channel blocks that it is in or, if it is in none, those for its channels."""
        return self.blocked(value, self.block(value.shape[1], value), value.layer)

    def _converted(self, value: Value, block: int, compute: Compute, name: str) -> Expr:
        """Return `value` converted by `compute`, once for all that read it in `block`."""
        key = value.expression, block
        if key not in self._conversions:
            self._conversions[key] = self.emit(compute, value.expression, name=name, pattern=None)
        return self._conversions[key]

    def alike(self, values: Sequence[Value], shape: Shape) -> tuple[list[Expr], int, str]:
        """Return `values` so that they broadcast to `shape` in channel blocks, the block and the layer that decided it.

        They are in the dtype of element-wise arithmetic. The layer is the last of those that decided the blocks of
        `values`, so that the operator can be fused to it. Block 0 means that the values cannot broadcast.
        """
        whole = [value for value in values if value.shape == shape and value.block]
        if not whole:
            return [], 0, ""
        maps = maps_of(shape)
        last = max(whole, key=lambda value: self.recorder.position(value.layer))
        block, layer = last.block, last.layer
        arguments = []
        for value in values:
            array = value.constant
            if array is not None:
                arguments.append(relax.const(self._constant(array, shape, block)) if array.ndim else value.expression)
            elif not isinstance(value.expression.ty, relax.TensorType):  # a number, such as a bound of Clip
                arguments.append(value.expression)
            elif len(value.shape) == len(shape) and value.shape[1] == shape[1] and value.maps[0] in (1, maps[0]):
                stored = self.blocked(value, block, layer)
                arguments.append(self.wide(value) if value.block == block else self.widened(stored))
            else:
                return [], 0, ""
        return arguments, block, layer

    def _constant(self, array: Array, shape: Shape, block: int) -> Array:
        """Return an array that broadcasts against a tensor of `shape` such that it does so in blocks or points."""
        maps = constant_maps(array, shape)
        if block == POINTS:
            return points_innermost.constant(maps, maps_of(shape)[2:], self.cpu)
        return layout.pack_constant(maps, block)

    # The account.

    @property
    def multiplies_bfloat16(self) -> bool:
        """Whether the processor has an instruction for products of bfloat16."""
        return isinstance(self.cpu, Cpu) and bool(self.cpu.bfloat)

    def of_products(self, dtype: str, matrices: bool = True) -> Precision:
        """Return dtype and arithmetic of a layer that multiplies by the processor's instruction, if floats have one.

        `matrices` says whether the layer can be computed in matrices: see `dot_of`.
        """
        in_pairs = dtype == "bfloat16" and bool(dot_of(dtype, self.cpu, matrices=matrices).instruction)
        return {"dtype": dtype, "arithmetic": bfloat.ARITHMETIC} if in_pairs else {}

    def name(self, operator: str, weight: Array | None = None) -> str:
        """Return the name of a new layer: that of `weight` in the model or, without one, the operator with a number."""
        number = sum(layer.operator == operator for layer in self.layers)
        self._nonzeros = 0 if weight is None else int(np.count_nonzero(weight))
        return ("" if weight is None else self._names.take(weight)) or f"{operator}_{number}"

    def account(self, operator: str, input: Shape, weight: Shape, output: Shape, **fields: Unpack[LayerFields]) -> None:
        """Add a layer to the account; without `asked`, only the algorithm in `ran` could be asked for."""
        stated: LayerFields = {"asked": fields["ran"], **fields}
        if "name" not in stated:
            stated |= {"name": self.name(operator)}
        if self.narrow and "dtype" not in fields:
            has = self.cpu.half if self.narrow == "float16" else self.multiplies_bfloat16
            lacks = f"the {'layer' if has else 'processor'} has no fast arithmetic in {self.narrow}"
            stated |= {"dtype": self.narrow, "arithmetic": f"float32 ({lacks})"}
        stored_bytes = sum(constant.value.numpy().nbytes for constant in self._packed)
        self.layer_of |= dict.fromkeys(self._packed, len(self.layers))
        self.layers.append(
            Layer(
                operator=operator, input=input, weight=weight, output=output, stored_bytes=stored_bytes,
                nonzeros=self._nonzeros, **stated,
            )
        )  # fmt: skip
        self._packed, self._nonzeros = [], 0
