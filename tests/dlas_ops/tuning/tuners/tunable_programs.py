"""Name of an algorithm or operator and a dtype → its tensor program, and arguments to run it with."""

from __future__ import annotations

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Compute, PrimFunc, Shape, Target
from dlas_ops.kernels.operators import dense, grouped, pooling
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.dot import stored
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

CONV = Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1))
DEPTHWISE = Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=32)
GROUPED = Conv(1, 32, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1), groups=2)


def function_of(name: str, dtype: str = "float32", mcpu: str = "", target: Target | None = None) -> PrimFunc:
    """Return the program `name` for this machine, for a named processor or for a target."""
    target = target or (named(mcpu) if mcpu else networks.target())
    cpu = describe(target)
    data = stored(cpu) if dtype == "int8" else dtype
    if name == "dense":
        return _program(
            dense.pack(np.zeros((64, 40), dtype), cpu), (1, 64), data, lambda x, w: dense.compute(x, w, 40, cpu)
        )
    if name == "grouped":
        packed = grouped.pack(np.zeros((64, 16, 3, 3), dtype), GROUPED, cpu)
        return _program(packed, (1, 2, 6, 8, 16), data, lambda x, w: grouped.compute(GROUPED, x, w, 16, cpu))
    if name in ("max", "avg", "mean"):
        held = tvm.te.placeholder((1, 2, 6, 8, 16), data, "data")
        pooled = pooling.mean(held, 32, cpu) if name == "mean" else pooling.compute(DEPTHWISE, held, name, True, cpu)
        return tvm.te.create_prim_func([held, pooled])
    if name == "depthwise":
        return program(target, DEPTHWISE, str(cpu.lanes()), dtype=dtype)
    return program(target, CONV, name, dtype=dtype, density=0.3)


def _program(packed: Array, shape: Shape, dtype: str, compute: Compute) -> PrimFunc:
    te = tvm.te
    data, weight = te.placeholder(shape, dtype, "data"), te.placeholder(packed.shape, str(packed.dtype), "weight")
    return te.create_prim_func([data, weight, compute(data, weight)])


def inputs_of(function: PrimFunc) -> list[Array]:
    """Return random arguments, all but the output.

    Requantized sums fill the range of 8 bits, and CSR weights are rows of equal length.
    """
    drawn = np.random.default_rng(0)
    fixed = {"low": -100.0, "high": 100.0, "factor": 1e-3}
    arguments: list[Array] = []
    values: Array
    for parameter in function.params[:-1]:
        shape, dtype = [int(size) for size in parameter.ty.shape], str(parameter.ty.dtype)
        if parameter.name == "weight_1":
            values = drawn.integers(0, 20, shape)
        elif parameter.name == "weight_2":
            values = np.linspace(0, arguments[-1].size, shape[0])
        elif parameter.name in fixed:
            values = np.full(shape, fixed[parameter.name])
        elif dtype == "int32":
            values = drawn.integers(0, 20, shape)
        elif dtype.endswith("int8"):
            values = drawn.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape)
        elif dtype == "int16":  # 8-bit weights, widened for an instruction that takes no narrower ones
            values = drawn.integers(-128, 128, shape)
        else:
            values = drawn.standard_normal(shape)
        arguments.append(values.astype(dtype))
    return arguments
