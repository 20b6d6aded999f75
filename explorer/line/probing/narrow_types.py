"""A session on a device and the narrow types that a search space asks for there → why it cannot run one of them.

OpenCL has float16, and Arm's instruction for products of int8, as extensions. TVM cannot ask for them, so a small
program is compiled by the device's own driver: a kernel that it does not compile would fail each trial at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tvm

from dlas_ops._types import PrimFunc, Target
from dlas_ops.kernels.scheduling import schedule_function
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.gpu_dot import FUNCTIONS
from dlas_ops.processor.gpus import Gpu as Known
from dlas_ops.processor.gpus import describe_gpu
from dlas_ops.processor.targets import describe
from dlas_ops.selection import candidates
from explorer.line.device import rpc
from explorer.line.probing.answers import Gpu
from explorer.space.gpu_targets import OPENCL

FLOAT16, BFLOAT16, INT8 = "float16", "bfloat16", "int8"
ELEMENTS = 64
LAYER = Conv(1, 16, 4, 4, 16, (1, 1))
# Family that has an instruction for products of int8 → the next of its kind without.
WITHOUT_DOT: Mapping[str, str] = {"mali": "mali-bifrost"}

# dtype → the compressions that a search space asks for on a device and that end in it.
Asked = Mapping[str, Sequence[str]]


def with_abilities(session: Any, says: Gpu, compiled_for: Mapping[str, Any]) -> Gpu:
    """Return what a GPU says of itself with what its driver compiles of float16 and of products of int8."""
    target = tvm.target.Target(dict(compiled_for))
    dot = describe_gpu(target).dot
    if says.kind != OPENCL:
        return replace(says, float16=True, int8_dot=bool(dot))
    return replace(
        says,
        float16=_compiles(session, target, _half(target)),
        int8_dot=_compiles(session, target, _products(target)) if dot else None,
    )


def refusal(device: str, asked: Asked, compiled_for: Mapping[str, Any], says: Gpu | None) -> str:
    """Return why a device cannot run the types that are asked of it; "" where nothing speaks against them.

    Parameters
    ----------
    says
        A GPU's account of itself, with its abilities; None for a processor.
    """
    known = describe(tvm.target.Target(dict(compiled_for)))
    lacks = {
        FLOAT16: _without_float16(known.half_loads, compiled_for, says),
        BFLOAT16: "is a GPU, for which there are no programs in bfloat16" if isinstance(known, Known) else "",
    }
    for dtype, lacking in lacks.items():
        if lacking and dtype in asked:
            return (
                f"device '{device}' {lacking}, and the search space asks for compression {', '.join(asked[dtype])} "
                "there; forbid that with a constraint, or take it from the axis"
            )
    if INT8 in asked and says and says.int8_dot is False:
        family = compiled_for.get("device")
        return (
            f"device '{device}' is {says}, whose OpenCL lacks {_dot(known)}, and int8 for its target's device "
            f"'{family}' needs that; give it a target with device = \"{WITHOUT_DOT.get(str(family), '')}\""
        )
    return ""


def fitting(target: Mapping[str, Any], says: Gpu) -> dict[str, Any]:
    """Return the target of a GPU with a family whose instructions its driver compiles."""
    family = target.get("device")
    return {**target, "device": WITHOUT_DOT[str(family)]} if says.int8_dot is False else dict(target)


def _without_float16(known: bool, compiled_for: Mapping[str, Any], says: Gpu | None) -> str:
    """Return what a device lacks to run float16, as part of a sentence."""
    if says and says.float16 is False:
        return f"is {says}, whose OpenCL lacks float16 (cl_khr_fp16)"
    host = compiled_for.get("host", compiled_for)
    return "" if known else f"has no instruction that converts float16 by its target's mcpu '{host.get('mcpu', '')}'"


def _dot(known: object) -> str:
    """Return the function that an instruction for products of int8 has in OpenCL C."""
    return FUNCTIONS[known.dot] if isinstance(known, Known) else ""


def _half(target: Target) -> PrimFunc:
    """Return a program that reads float16 and writes it."""
    data = tvm.te.placeholder((ELEMENTS,), FLOAT16, "data")
    doubled = tvm.te.compute((ELEMENTS,), lambda i: (data[i].astype("float32") * 2.0).astype(FLOAT16), name="doubled")
    return schedule_function(tvm.te.create_prim_func([data, doubled]), describe(target))


def _products(target: Target) -> PrimFunc:
    """Return a convolution of int8, which multiplies by the instruction that the target has for that."""
    program = candidates.programs(Problem(LAYER.operator, LAYER, dtype=INT8), target)["direct/dense"]
    return schedule_function(program.function, describe(target))


def _compiles(session: Any, target: Target, program: PrimFunc) -> bool:
    """Tell whether the driver of a GPU compiles a scheduled program."""
    named = program.with_attr("global_symbol", "probe").with_attr("tirx.is_scheduled", True)
    library = tvm.compile(tvm.IRModule({"probe": named}), target, tir_pipeline=PIPELINE)
    gpu = session.device(target.kind.name)
    types = [parameter.ty for parameter in program.params]
    arrays = [tvm.runtime.empty([int(size) for size in kind.shape], str(kind.dtype), gpu) for kind in types]
    with TemporaryDirectory() as folder:
        # A file of its own name: a second one of a name is never loaded in a session.
        path = Path(folder) / f"probe-{abs(hash(str(named)))}.tar"
        library.export_library(str(path))
        loaded = session.load_module(rpc.place(session, path))
    try:
        loaded["probe"](*arrays)
        gpu.sync()
    except Exception as error:  # over RPC every error is of one kind
        if rpc.refused(str(error)):
            return False
        raise
    return True
