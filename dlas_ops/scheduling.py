"""Fused tensor programs → the same, scheduled for a processor: as their annotation asks or, without one, generally."""

from __future__ import annotations

import importlib
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.operators import dense, depthwise, grouped, layout, pooling
from dlas_ops.schedules import copy_stage, parallel
from dlas_ops.targets import Cpu, describe

_SCHEDULES = {
    "depthwise": depthwise.schedule,
    "grouped": grouped.schedule,
    "dense": dense.schedule,
    "mean": pooling.schedule_mean,
    "copy": layout.schedule,
    "scalar_copy": layout.schedule_scalar,
}


def schedule(module: Any, target: Any) -> Any:
    """Return `module` with every tensor program scheduled for `target`."""
    cpu = describe(target)
    scheduled = tvm.IRModule(dict(module.functions.items()), attrs=module.attrs)
    for variable, function in module.functions.items():
        if isinstance(function, tvm.tirx.PrimFunc):
            scheduled[variable] = schedule_function(function, cpu)
    return scheduled


def schedule_function(function: Any, cpu: Cpu) -> Any:
    """Return one tensor program, scheduled."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    blocks = sch.get_child_blocks(sch.get_sblock("root"))
    for block in blocks:
        kind = sch.get(block).annotations.get("dlas.schedule")
        if kind is not None:
            _schedule_of(str(kind))(sch, block, cpu)
            break
    else:
        _general(sch, blocks, cpu)
    return sch.mod["main"]


def _schedule_of(kind: str) -> Any:
    return _SCHEDULES.get(kind) or importlib.import_module(f"dlas_ops.algorithms.{kind}").schedule


def _general(sch: Any, blocks: list[Any], cpu: Cpu) -> None:
    """Inline what is element-wise; run every reduction, and the end, over its outer loops in parallel."""
    *inner, last = blocks
    for block in inner:
        if _reduces(sch, block):
            parallel(sch, sch.fuse(*_spatial_loops(sch, block)))
        else:
            sch.compute_inline(block)
    loops = _spatial_loops(sch, last)
    if _reduces(sch, last):
        parallel(sch, sch.fuse(*loops))
    elif len(loops) == 5:
        copy_stage(sch, last, cpu)
    elif loops:
        fused = sch.fuse(*loops)
        if int(sch.get(fused).extent) % cpu.lanes() == 0:
            fused, vector = sch.split(fused, [None, cpu.lanes()])
            sch.vectorize(vector)
        parallel(sch, fused)


def _reduces(sch: Any, block: Any) -> bool:
    return any(axis.iter_type == tvm.tirx.IterVar.CommReduce for axis in sch.get(block).iter_vars)


def _spatial_loops(sch: Any, block: Any) -> list[Any]:
    loops = sch.get_loops(block)
    axes = sch.get(block).iter_vars
    return [loop for loop, axis in zip(loops, axes, strict=False) if axis.iter_type == tvm.tirx.IterVar.DataPar]
