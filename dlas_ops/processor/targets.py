"""TVM target → the description of its processor, a CPU or a GPU; and the target and devices of this machine."""

from __future__ import annotations

import platform
from typing import Any, TypeAlias

from dlas_ops._types import Device, Target
from dlas_ops.processor import instruction_sets, matrix
from dlas_ops.processor.cpus import Cpu, describe_cpu
from dlas_ops.processor.gpus import Gpu, describe_gpu
from dlas_ops.processor.usable_cores import core_count

# What a definition is laid out for, and a schedule made for.
Processor: TypeAlias = Cpu | Gpu


def describe(target: Target) -> Processor:
    """Return the description of `target`, a ``tvm.target.Target`` of kind llvm, opencl or cuda."""
    return describe_cpu(target) if str(target.kind.name) == "llvm" else describe_gpu(target)


def native_target() -> dict[str, Any]:
    """Return the TVM target of this machine: its LLVM processor name and the cores this process may use.

    What that processor has and this machine hides, as virtual machines and sandboxes do, is taken off.
    """
    from dlas_ops._tvm import tvm

    target = {"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()}
    hidden = _hidden(tvm.target.Target(target))
    return {**target, **({"mattr": hidden} if hidden else {}), "num-cores": core_count()}


def _hidden(target: Target) -> list[str]:
    """Return as ``mattr`` what is to be taken off `target`, this machine's processor."""
    needed, offered = instruction_sets.needed(target), instruction_sets.offered_here()
    missing = set() if offered is None else instruction_sets.lacking(needed, offered, platform.release())
    of_matrices = {name for name in needed if name.startswith(matrix.FAMILY)}
    if of_matrices and not matrix.is_allowed():  # an old Linux does not name them either
        missing |= of_matrices
    return instruction_sets.without(target, missing)


def device_here(target: Target) -> Device:
    """Return the device of this machine that runs what is compiled for `target`.

    Raises
    ------
    ValueError
        If `target` or its host is another processor, or a GPU that TVM's runtime does not reach.
    """
    from dlas_ops._tvm import tvm

    native, kind = native_target(), str(target.kind.name)
    host = target if kind == native["kind"] else target.host
    if host is None or host.kind.name != native["kind"] or str(host.attrs.get("mcpu")) != native["mcpu"]:
        raise ValueError(f"target {target} is not this machine, {native['mcpu']}: give a `measure` that reaches it")
    if kind == native["kind"]:
        return tvm.cpu()
    if not (tvm.runtime.enabled(kind) and tvm.device(kind, 0).exist):
        raise ValueError(f"TVM's runtime reaches no {kind} device here: give a `measure` that reaches one")
    return tvm.device(kind, 0)
