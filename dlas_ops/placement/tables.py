"""Element-wise operators on 8-bit integers → a table with the result for each integer, computed with NumPy.

Operators between a dequantize operator and the next quantize operator that read no other tensor compute a function of
256 values, however many they are: a sigmoid, itself quantized, times its argument is one table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import erf

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule, PassContext
from dlas_ops.kernels.operators import quantize
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.placement.context import Context
from dlas_ops.placement.integers import LIMITS
from dlas_ops.placement.operators import Operator, extremum
from dlas_ops.placement.value import Quantization, Table, Value

relax, tirx = tvm.relax, tvm.tirx
Reals = NDArray[np.float64]

# Marks a tensor program as element-wise, which TVM does not see where data is an index.
ELEMENTWISE = "dlas.elementwise"


def _sigmoid(x: Reals) -> Reals:
    return np.exp(-np.logaddexp(0, -x))


def _erf(x: Reals) -> Reals:
    return np.array([erf(each) for each in x])


# Relax operator → the function of float64 numbers that it computes. The network's rounding to float32 follows.
_FUNCTIONS: dict[str, Callable[..., Reals]] = {
    "relax.add": np.add,
    "relax.subtract": np.subtract,
    "relax.multiply": np.multiply,
    "relax.divide": np.divide,
    "relax.maximum": np.maximum,
    "relax.minimum": np.minimum,
    "relax.clip": np.clip,
    "relax.negative": np.negative,
    "relax.abs": np.abs,
    "relax.exp": np.exp,
    "relax.log": np.log,
    "relax.erf": _erf,
    "relax.sigmoid": _sigmoid,
    "relax.tanh": np.tanh,
    "relax.nn.relu": lambda x: np.maximum(x, 0),
    "relax.nn.leakyrelu": lambda x, alpha: np.where(x > 0, x, alpha * x),
    "relax.nn.gelu": lambda x: x * (1 + _erf(x * 0.5**0.5)) / 2,
    "relax.nn.silu": lambda x: x * _sigmoid(x),
}


def tabulated(context: Context, operator: Operator) -> Table | None:
    """Return the result of `operator` as a table of reals, if it is a function of one tensor of 8-bit integers."""
    name, arguments = operator.name, list(getattr(operator.call, "args", ()))
    if name == "relax.call_tir":  # a bound of Clip
        bound = extremum(context.module[arguments[0]])
        name, arguments = f"relax.{bound.__name__}" if bound else "", list(arguments[1].fields)
    if name not in _FUNCTIONS:
        return None
    values = [context.held(argument) for argument in arguments]
    numbers = [_reals(value) for value in values]
    sources = [source for value in values if (source := _source(value))]
    if not sources or not all(source.expression.same_as(sources[0].expression) for source in sources):
        return None
    if name == "relax.nn.leakyrelu":
        numbers.append(np.asarray(operator.call.attrs.alpha, np.float64))
    if any(each is None for each in numbers):
        return None
    with np.errstate(all="ignore"):
        entries = _FUNCTIONS[name](*numbers).astype(np.float32)
    return Table(sources[0], entries) if np.isfinite(entries).all() else None


def look_up(context: Context, table: Table, wanted: Quantization, dtype: str) -> Value:
    """Return the integers of `dtype` that stand for the reals of `table`, as ONNX rounds them."""
    source, (lowest, highest) = table.source, LIMITS[dtype]
    quotients = np.rint(table.entries / np.float32(wanted.scale.item()))
    entries = np.clip(quotients + wanted.zero.item(), lowest, highest).astype(dtype)
    if dtype == source.dtype and np.array_equal(entries, np.arange(lowest, highest + 1)):
        # A product with a number may change the scale alone.
        return replace(source, quantization=wanted, table=Table(source, entries))
    least = LIMITS[source.dtype][0]
    integers = context.builder.emit_te(
        lambda x, values: quantize.look_up(x, values, least), source.expression, relax.const(entries),
        primfunc_name_hint="look_up", primfunc_attrs={ELEMENTWISE: 1},
    )  # fmt: skip
    return Value(integers, source.shape, source.block, wanted, layer=source.layer, table=Table(source, entries))


@tvm.transform.module_pass(opt_level=0)
class FuseTables:
    """Tells Relax's operator fusion, after its own analysis, that a look-up in a table is element-wise.

    The analysis of TVM 0.27 ignores the attribute where a program has it from the beginning, because its number is 0.
    """

    def transform_module(self, module: IRModule, _context: PassContext) -> IRModule:
        """Return `module` with the attribute that the fusion reads."""
        for variable, function in module.functions.items():
            if function.attrs and ELEMENTWISE in function.attrs:
                module[variable] = function.with_attr("op_pattern", 0)
        return module


def _source(value: Value) -> Value | None:
    """Return the 8-bit integers that `value` is a function of."""
    if value.table:
        return value.table.source
    held = value.quantization
    stands = held is not None and held.per_tensor and value.dtype in LIMITS and value.constant is None
    return value if stands and value.block != POINTS else None


def _reals(value: Value) -> Reals | None:
    """Return the real number for each integer that `value` is a function of, or the one number that it is."""
    held, array = value.quantization, value.constant
    if isinstance(value.expression, tirx.IntImm | tirx.FloatImm):
        return np.asarray(value.expression.value, np.float64)
    if array is not None:
        if array.size != 1:
            return None
        number = array.reshape(())
        if held is not None:
            number = (number.astype(np.int32) - held.zero.reshape(())).astype(np.float32) * held.scale.reshape(())
        return np.asarray(number, np.float64)
    if held is None:
        return value.table.entries.astype(np.float64) if value.table else None
    if _source(value) is None:
        return None
    least, most = LIMITS[value.dtype]
    integers = value.table.entries if value.table else np.arange(least, most + 1)
    reals = (integers.astype(np.int32) - held.zero.item()).astype(np.float32) * np.float32(held.scale.item())
    return reals.astype(np.float64)
