"""Fused tensor programs → the same, scheduled for a processor: as their annotation asks or, without one, generally."""

from __future__ import annotations

import importlib
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.operators import dense, depthwise, grouped, pooling
from dlas_ops.targets import Cpu, describe

_SCHEDULES = {
    "depthwise": depthwise.schedule,
    "grouped": grouped.schedule,
    "dense": dense.schedule,
    "mean": pooling.schedule_mean,
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
        _elementwise(sch, blocks, cpu)
    return sch.mod["main"]


def _schedule_of(kind: str) -> Any:
    return _SCHEDULES.get(kind) or importlib.import_module(f"dlas_ops.algorithms.{kind}").schedule


def _elementwise(sch: Any, blocks: list[Any], cpu: Cpu) -> None:
    """Inline all but the last block; vectorise the innermost loop, run the others in parallel."""
    *inner, last = blocks
    for block in inner:
        sch.compute_inline(block)
    loops = sch.get_loops(last)
    if not loops:
        return
    fused = sch.fuse(*loops)
    extent = int(sch.get(fused).extent)
    lanes = cpu.lanes()
    if extent % lanes == 0 and extent > lanes:
        fused, vector = sch.split(fused, [None, lanes])
        sch.vectorize(vector)
    sch.parallel(fused)
