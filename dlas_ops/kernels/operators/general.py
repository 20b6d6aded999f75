"""Programs without a schedule of their own → scheduled generally: element-wise operators and reductions."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.steps import copy_stage, parallel
from dlas_ops.schedule.thread_tiles import bind_all, bind_points


def schedule(sch: Schedule, cpu: Cpu) -> None:
    """Inline what is element-wise; run every reduction, and what writes a result, over its outer loops in parallel."""
    for block in _kept(sch):
        if _reduces(sch, block):
            parallel(sch, sch.fuse(*_spatial_loops(sch, block)), cpu)
        else:
            _elementwise(sch, block, cpu)


def schedule_gpu(sch: Schedule, gpu: Gpu) -> None:
    """Inline what is element-wise; give each thread one point of every reduction, and a vector of every result."""
    for block in _kept(sch):
        loops = _spatial_loops(sch, block)
        if not loops:
            sch.add_unit_loop(block)
            loops = sch.get_loops(block)[:1]
        if _reduces(sch, block):
            bind_points(sch, loops, gpu)
        else:
            bind_all(sch, block, gpu)


def _kept(sch: Schedule) -> list[SBlock]:
    """Inline all element-wise blocks but those that write a result; return the others."""
    blocks = sch.get_child_blocks(sch.get_sblock("root"))
    ends = [sch.get(block) for block in sch.get_output_blocks(sch.get_sblock("root"))]
    kept = [_reduces(sch, block) or sch.get(block) in ends for block in blocks]
    for block, keep in zip(blocks, kept, strict=True):
        if not keep:
            sch.compute_inline(block)
    return [block for block, keep in zip(blocks, kept, strict=True) if keep]


def _elementwise(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    loops = _spatial_loops(sch, block)
    if len(loops) == 5:
        copy_stage(sch, block, cpu)
    elif loops:
        fused = sch.fuse(*loops)
        if int(sch.get(fused).extent) % cpu.lanes() == 0:
            fused, vector = sch.split(fused, [None, cpu.lanes()])
            sch.vectorize(vector)
        parallel(sch, fused, cpu)


def _reduces(sch: Schedule, block: SBlock) -> bool:
    return any(axis.iter_type == tvm.tirx.IterVar.CommReduce for axis in sch.get(block).iter_vars)


def _spatial_loops(sch: Schedule, block: SBlock) -> list[Loop]:
    loops = sch.get_loops(block)
    axes = sch.get(block).iter_vars
    return [loop for loop, axis in zip(loops, axes, strict=False) if axis.iter_type == tvm.tirx.IterVar.DataPar]
