"""One operator and the values of its arguments → the module that a rule makes of it, beside the one expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.blocks import FUSES_EPILOGUE
from dlas_ops.onnx.names import WeightNames
from dlas_ops.placement.context import Context
from dlas_ops.placement.operators import Operator, name_of
from dlas_ops.placement.rules.rule import Rule
from dlas_ops.placement.value import Quantization, Value, shape_of
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.small_networks import calls

relax, te = tvm.relax, tvm.te

# Vectors of 8 float32 numbers, and no instruction for products of 8-bit integers.
TARGET = named("x86-64-v3")
NAMES = WeightNames(onnx.ModelProto())
EPILOGUE = {"op_pattern": FUSES_EPILOGUE}

Expected = Callable[..., Any]  # block builder, parameters → the result


def quantization(scale: ArrayLike, zero: ArrayLike = 0, low: float = -np.inf, high: float = np.inf) -> Quantization:
    """Return what integers of one `scale` and `zero` point stand for or, if these are lists, of one per channel."""
    shape = (1, -1, 1, 1) if np.ndim(scale) else ()
    scales, zeros = np.asarray(scale, np.float32), np.asarray(zero, np.int32)
    return Quantization(scales.reshape(shape), zeros.reshape(shape), low, high)


SCALED = quantization(0.5, 3)


def tensor(shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """Return a variable that holds a tensor."""
    return relax.Var("x", relax.TensorType(shape, dtype))


def function(inputs: list[Any], body: Expected) -> Any:
    """Return the module whose function "main" computes `body`, of a block builder and `inputs`."""
    builder = relax.BlockBuilder()
    with builder.function("main", inputs):
        with builder.dataflow():
            result = builder.emit_output(body(builder, *inputs))
        builder.emit_func_output(result)
    return builder.get()


def with_bound(combine: Callable[[Any, Any], Any], shape: tuple[int, ...]) -> Any:
    """Return a module with the tensor program "bound", `combine` of a tensor and a number, as Clip is imported."""
    x, bound = te.placeholder(shape, "float32", "x"), te.placeholder((), "float32", "bound")
    program = te.create_prim_func([x, bound, te.compute(shape, lambda *index: combine(x(*index), bound()))])

    def body(builder: Any, x: Any) -> Any:
        builder.add_func(program, "bound")
        return x

    return function([tensor((1,))], body)


def bounded(module: Any, data: Any, bound: float) -> Any:
    """Return the call of the program of `with_bound` in `module`."""
    return relax.call_tir(module.get_global_var("bound"), [data, relax.const(bound)], data.ty)


class Case:
    """An operator between a network's variables, which `argument` makes, for a rule to place."""

    def __init__(
        self,
        algorithm: str | Mapping[str, str] = "direct",
        *,
        narrow: str = "",
        target: Any = TARGET,
        module: Any = None,
    ) -> None:
        """Begin with a network of no operators or, for its tensor programs, with `module`."""
        module = module or function([tensor((1,))], lambda builder, x: x)
        self.context = Context(module, target, Choices(algorithm), NAMES, narrow)
        self.parameters: list[Any] = []

    def argument(
        self, shape: tuple[int, ...], block: int = 0, dtype: str = "float32", declared: str = "float32", **fields: Any
    ) -> Any:
        """Return a variable of the network of `shape` that a parameter of `dtype` holds in `block`.

        `fields` are further ones of its `Value`.
        """
        held = shape
        if block == POINTS:
            held = (*shape[:2], points_innermost.pitch(shape[2] * shape[3], self.context.cpu))
        elif block:
            held = (shape[0], -(-shape[1] // block), *shape[2:], block)
        variable, parameter = tensor(shape, declared), tensor(held, dtype)
        self.context.values[variable] = Value(parameter, shape, block, **fields)
        self.parameters.append(parameter)
        return variable

    def place(self, rule: Rule, call: Any) -> tuple[Value | None, Any]:
        """Return the value that `rule` places for `call`, if it applies, and the module with what it emitted."""
        call = relax.BlockBuilder().normalize(call)
        builder = self.context.builder
        with builder.function("main", self.parameters):
            with builder.dataflow():
                value = rule(self.context, Operator(name_of(call), call, shape_of(call)))
                result = builder.emit_output(value.expression if value else relax.const(0.0))
            builder.emit_func_output(result)
        return value, builder.get()

    def becomes(self, rule: Rule, call: Any, expected: Expected) -> Value:
        """Return the value that `rule` places for `call`, and see that the module is the one of `expected`."""
        value, after = self.place(rule, call)
        assert value is not None
        inputs = [relax.Var("x", parameter.ty) for parameter in self.parameters]
        tvm.ir.assert_structural_equal(after, function(inputs, expected))
        return value

    def is_left(self, rule: Rule, call: Any) -> None:
        """See that `rule` does not apply to `call`, and emits nothing."""
        value, after = self.place(rule, call)
        assert value is None
        assert calls(after) == []
