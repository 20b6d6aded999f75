"""A lowered network for an OpenCL target → what it computes on this machine's first OpenCL device, by PyOpenCL.

TVM's wheel generates OpenCL C and cannot run it. So the host's part is interpreted here: the network's calls one after
the other and, of each, the buffers that it allocates and the kernels that it launches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Expr, IRModule, PrimFunc, Stmt, Target
from dlas_ops.kernels.scheduling import schedule
from dlas_ops.lowering import Lowered
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.processor.targets import native_target

tirx, relax = tvm.tirx, tvm.relax

HOST = {"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 2}
# A family of each sort: one that is a CPU, one without and one with memory that a work-group shares.
FAMILIES = ("pocl", "mali", "adreno")


def target(device: str, **fields: Any) -> Target:
    """Return a target of a family of GPUs."""
    return tvm.target.Target({"kind": "opencl", "device": device, "host": HOST, **fields})


# What TVM runs on the OpenCL device of this machine, where its runtime reaches one.
POCL = tvm.target.Target({"kind": "opencl", "device": "pocl", "host": native_target()})

# What Arm's extension defines, for devices that lack it.
ARM_DOT = """
int arm_dot_acc(char4 a, char4 b, int sum) {
  return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}
"""


class Launch(NamedTuple):
    """A kernel, the names of the buffers that it takes, its work-groups and the threads of each along x, y and z."""

    kernel: str
    buffers: list[str]
    groups: list[int]
    threads: list[int]


class Device:
    """The first OpenCL device; a test that asks for it is skipped where there is none."""

    def __init__(self) -> None:
        self.cl = pytest.importorskip("pyopencl")
        try:
            self.context = self.cl.Context([self.cl.get_platforms()[0].get_devices()[0]])
        except (self.cl.Error, IndexError) as error:
            pytest.skip(f"no OpenCL device: {error}")
        self.queue = self.cl.CommandQueue(self.context)

    def call(self, function: PrimFunc, target: Target, inputs: list[Array]) -> list[Array]:
        """Return what a scheduled `function` writes to its arguments after `inputs`."""
        lowered = _lowered(function, target)
        source = _source(lowered, target)
        program = self.cl.Program(self.context, f"{ARM_DOT}\n{source}").build()
        names = [str(parameter.name) for parameter in function.params]
        outputs = [_empty(parameter) for parameter in function.params[len(inputs) :]]
        held = {name: self._buffer(array) for name, array in zip(names, [*inputs, *outputs], strict=True)}
        for step in _steps(lowered["main"].body, lowered):
            if isinstance(step, Launch):
                kernel = getattr(program, step.kernel)
                extents = [groups * threads for groups, threads in zip(step.groups, step.threads, strict=True)]
                kernel(self.queue, extents, step.threads, *(held[name] for name in step.buffers))
            else:
                name, size = step
                held[name] = self.cl.Buffer(self.context, self.cl.mem_flags.READ_WRITE, size)
        for name, output in zip(names[len(inputs) :], outputs, strict=True):
            self.cl.enqueue_copy(self.queue, output, held[name])
        return outputs

    def _buffer(self, array: Array) -> Any:
        flags = self.cl.mem_flags
        copied = np.ascontiguousarray(array)
        return self.cl.Buffer(self.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=copied)


@cache
def device() -> Device:
    """Return the device, once for all tests."""
    return Device()


def run(lowered: Lowered, target: Target, data: Array) -> Array:
    """Return the output of a network for the input `data`."""
    module = schedule(lowered.module, target)
    function = module["main"]
    held: dict[Any, Any] = {function.params[0]: data}

    def value(expression: Expr) -> Any:
        if isinstance(expression, relax.Var):
            return held[expression]
        if isinstance(expression, relax.Tuple):
            return [value(field) for field in expression.fields]
        if isinstance(expression, relax.TupleGetItem):
            return value(expression.tuple_value)[expression.index]
        if isinstance(expression, relax.Call):
            assert expression.op.name == "relax.call_tir", expression
            outputs = device().call(module[expression.args[0]], target, value(expression.args[1]))
            return outputs[0] if len(outputs) == 1 else outputs
        return np.asarray(expression.value.numpy())

    for block in function.body.blocks:
        for binding in block.bindings:
            held[binding.var] = value(binding.value)
    return np.asarray(value(function.body.body))


def _empty(parameter: Expr) -> Array:
    """Return an array for an argument."""
    return np.empty([int(size) for size in parameter.ty.shape], str(parameter.ty.dtype))


def _lowered(function: PrimFunc, target: Target) -> IRModule:
    """Return the kernels of `function`, and its host's part as function "main"."""
    function = function.with_attr("global_symbol", "main")
    bound = tirx.transform.BindTarget(target)(tvm.IRModule({"main": function}))
    lower, _, _ = tirx.get_tir_pipeline(PIPELINE)
    return lower(bound)


def _source(module: IRModule, target: Target) -> str:
    """Return the OpenCL C of the kernels of `module`."""
    kernels = {name: function for name, function in module.functions.items() if str(name.name_hint) != "main"}
    _, _, finalize = tirx.get_tir_pipeline(PIPELINE)
    built = tvm.get_global_func("target.build.opencl")(finalize()(tvm.IRModule(kernels)), target)
    return str(built.inspect_source("cl"))


def _steps(statement: Stmt, module: IRModule) -> Iterator[Launch | tuple[str, int]]:
    """Yield the buffers, name and bytes, and the launches of a host's part, in order."""
    match statement:
        case tirx.SeqStmt():
            for child in statement.seq:
                yield from _steps(child, module)
        case tirx.AttrStmt():
            yield from _steps(statement.body, module)
        case tirx.AllocBuffer():
            held = statement.buffer
            kind = tvm.DataType(str(held.dtype))
            yield str(held.name), int(np.prod([int(size) for size in held.shape])) * kind.lanes * kind.bits // 8
        case tirx.Evaluate() if isinstance(statement.value, tvm.ir.Call):
            if str(statement.value.op.name) == "tirx.call_ffi_kernel":
                yield _launch(statement.value, module)
        case _:
            pass


def _launch(call: Expr, module: IRModule) -> Launch:
    name, *arguments = call.args
    buffers = [str(argument.args[0].name) for argument in arguments if not isinstance(argument, tirx.IntImm)]
    extents = [int(argument.value) for argument in arguments if isinstance(argument, tirx.IntImm)]
    named = dict(zip(map(str, module[str(name.value)].attrs["tirx.kernel_launch_params"]), extents, strict=True))
    groups, threads = ([named.get(f"{kind}Idx.{axis}", 1) for axis in "xyz"] for kind in ("block", "thread"))
    return Launch(str(name.value), buffers, groups, threads)
