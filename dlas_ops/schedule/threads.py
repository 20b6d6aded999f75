"""Loops of a scheduled program → threads of a GPU's work-groups, and vectors of what each computes."""

from __future__ import annotations

from collections.abc import Sequence

from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.processor.gpu_dot import summed
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.steps import divisors

GROUP, THREAD = "blockIdx.x", "threadIdx.x"
SHARED = "shared"
BYTE = 8


def bind_all(sch: Schedule, block: SBlock, gpu: Gpu) -> None:
    """Run `block`, element-wise, as a kernel of its own: a vector for each thread where vectors are whole."""
    bind_points(sch, sch.get_loops(block), gpu, vectors=not _gathers_bytes(sch, block))


def bind_points(sch: Schedule, loops: Sequence[Loop], gpu: Gpu, vectors: bool = False, whole: bool = False) -> Loop:
    """Give each thread one iteration of `loops` or, of `vectors`, as many of the innermost one as a vector holds.

    With `whole`, no work-group has threads beyond the last iteration: TVM puts no instruction in the place of a loop
    below a condition.

    Returns
    -------
    The loop over threads.
    """
    *outer, inner = loops
    vector = None
    if vectors and int(sch.get(inner).extent) % gpu.lanes() == 0:
        inner, vector = sch.split(inner, [None, gpu.lanes()])
    fused = sch.fuse(*outer, inner) if outer else inner
    extent = int(sch.get(fused).extent)
    threads = max(size for size in divisors(extent) if size <= gpu.threads) if whole else min(gpu.threads, extent)
    group, thread = sch.split(fused, [None, threads])
    sch.bind(group, GROUP)
    sch.bind(thread, THREAD)
    if vector is not None:
        sch.vectorize(vector)
    return thread


def vectorize_sums(
    sch: Schedule, block: SBlock, reduction: Loop, lane: Loop, value: Sequence[Loop] = (), instruction: str = ""
) -> None:
    """Set the sums of `block` to zero before its loop `reduction`, and compute both a vector at a time.

    Where there is a loop over the `value` that an instruction adds to one sum, that takes its place, lane by lane.
    Nothing can be moved to the block afterwards.
    """
    if value:
        sch.unroll(lane)
    else:
        sch.vectorize(lane)
    first = sch.decompose_reduction(block, reduction)
    *rest, inner = sch.get_loops(first)[2:]
    sch.vectorize(inner)
    for loop in rest:
        sch.unroll(loop)
    for loop in value:
        _, data, weight = (str(read.source.scope()) for read in sch.get(block).reads)
        sch.tensorize(loop, summed(instruction, data, weight))


def vectorize_copy(sch: Schedule, block: SBlock, vector: Loop) -> None:
    """Vectorise the loop `vector` of a copy, if it is one of several elements."""
    if int(sch.get(vector).extent) > 1 and not _gathers_bytes(sch, block):
        sch.vectorize(vector)


def _gathers_bytes(sch: Schedule, block: SBlock) -> bool:
    """Tell whether neighbours that `block` computes are bytes, and read bytes that are no neighbours."""
    # Workaround: TVM 0.27: its OpenCL C packs gathered bytes as CUDA's int; tests/workarounds
    from dlas_ops._tvm import tvm

    held = sch.get(block)
    last = held.iter_vars[-1].var
    bytes_read = [read for read in held.reads if tvm.DataType(str(read.source.dtype)).bits == BYTE]
    return any(last in tvm.tirx.analysis.undefined_vars(place.min) for read in bytes_read for place in read.region[:-1])
