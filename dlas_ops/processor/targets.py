"""TVM target → the description of its processor, a CPU or a GPU; and the target of this machine."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from dlas_ops._types import Target
from dlas_ops.processor.cpus import Cpu, describe_cpu
from dlas_ops.processor.gpus import Gpu, describe_gpu

# What a definition is laid out for, and a schedule made for.
Processor: TypeAlias = Cpu | Gpu


def describe(target: Target) -> Processor:
    """Return the description of `target`, a ``tvm.target.Target`` of kind llvm, opencl or cuda."""
    return describe_cpu(target) if str(target.kind.name) == "llvm" else describe_gpu(target)


def native_target() -> dict[str, Any]:
    """Return the TVM target of this machine: its LLVM processor name and the cores this process may use."""
    from dlas_ops._tvm import tvm

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu(), "num-cores": cores}
