"""Tensor program, scheduled for a GPU → what a work-group of its kernels takes: threads and shared memory."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import tvm_ffi
from tvm_ffi import WalkResult

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc, Stmt
from dlas_ops.processor.gpus import Gpu

tirx, s_tir = tvm.tirx, tvm.s_tir

# As far as TVM's own lowering must go until every buffer has the extent and every loop the thread that it will have.
_PASSES = (
    s_tir.transform.LowerCrossThreadReduction,
    s_tir.transform.LowerInitBlock,
    s_tir.transform.PlanAndUpdateBufferAllocationLocation,
    s_tir.transform.ConvertBlocksToOpaque,
    s_tir.transform.LiftThreadBinding,
    s_tir.transform.ManifestSharedMemoryLocalStage,
    s_tir.transform.CompactBufferAllocation,
    s_tir.transform.LowerAutoCopy,
    s_tir.transform.UnifyThreadBinding,
    s_tir.transform.LowerMatchBuffer,
    s_tir.transform.LowerOpaqueBlock,
)


class WorkGroup(NamedTuple):
    """Threads and shared memory of one work-group."""

    threads: int
    shared_bytes: int


def work_groups(function: PrimFunc) -> list[WorkGroup]:
    """Return what a work-group of each kernel of a scheduled `function` takes, in their order."""
    lowered = tvm.ir.transform.Sequential([each() for each in _PASSES])(tvm.IRModule({"main": function}))
    found = []

    def kernel(statement: Stmt) -> WalkResult:
        if statement.attr_key != "thread_extent":
            return WalkResult.ADVANCE
        found.append(_work_group(statement))
        return WalkResult.SKIP

    tvm_ffi.structural_walk(lowered["main"].body, (tirx.AttrStmt, kernel), order="pre")
    return found


def excess(function: PrimFunc, gpu: Gpu) -> str:
    """Return why `gpu` cannot launch a kernel of a scheduled `function`, in one sentence; "" if it can."""
    for threads, shared_bytes in work_groups(function):
        if threads > gpu.threads:
            return f"a work-group would have {threads} threads, and the GPU's have {gpu.threads}"
        if shared_bytes > gpu.shared_bytes:
            return f"a work-group would take {shared_bytes} bytes of shared memory, and the GPU has {gpu.shared_bytes}"
    return ""


def _work_group(kernel: Stmt) -> WorkGroup:
    threads: dict[str, int] = {}
    shared: list[int] = []

    def extent(statement: Stmt) -> None:
        if statement.attr_key == "thread_extent" and str(statement.node.thread_tag).startswith("threadIdx."):
            threads[str(statement.node.thread_tag)] = int(statement.value)

    def allocation(statement: Stmt) -> None:
        held = statement.buffer
        if str(held.scope()).startswith("shared"):
            kind = tvm.DataType(str(held.dtype))
            shared.append(prod(int(size) for size in held.shape) * kind.bits * kind.lanes // 8)

    tvm_ffi.structural_walk(kernel, [(tirx.AttrStmt, extent), (tirx.AllocBuffer, allocation)])
    return WorkGroup(prod(threads.values()), sum(shared))
