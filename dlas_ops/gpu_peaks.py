"""Target of a GPU → programs that take it to its peaks: multiply-adds in registers, and memory read in a stream.

Each thread of ``arithmetic`` has chains of multiply-adds that depend on nothing else. ``memory`` gives each work-group
a part of the memory, whose threads read neighbouring vectors.
"""

from __future__ import annotations

from math import prod

from dlas_ops._tvm import tvm
from dlas_ops._types import Library, PrimFunc, Target
from dlas_ops.control import compiled
from dlas_ops.processor.gpus import Gpu, describe_gpu
from dlas_ops.schedule.threads import GROUP, THREAD

te, s_tir = tvm.te, tvm.s_tir

GROUPS = 8  # work-groups for each that runs at once
LEAST_GROUPS = 128  # PoCL gives a core 32 of them at a time
AGAIN, UNROLLED = 8192, 16  # multiply-adds of a chain, and how many of them follow each other without a branch
AGAIN_BESIDE = 512  # of the program that runs beside a network: 0.3 ms where the GPU is a core of 120 GFLOP/s
FACTOR = 0.5

Arguments = list[tuple[tuple[int, ...], str]]  # shapes and dtypes


def build(target: Target) -> Library:
    """Return the programs ``arithmetic`` and ``memory``, compiled for `target`.

    ``arithmetic(added, chains)``, of the shapes of `arithmetic`, multiplies each chain by `FACTOR` and adds a number,
    `AGAIN` times. ``memory(memory, sums)``, of the shapes of `memory`, sums what it reads.
    """
    gpu = describe_gpu(target)
    return compiled({"arithmetic": _chains(gpu, AGAIN), "memory": _read(gpu)}, target)


def build_beside(target: Target) -> Library:
    """Return a shorter ``arithmetic``, whose time beside a network's tells how fast the GPU is at the moment."""
    return compiled({"arithmetic": _chains(describe_gpu(target), AGAIN_BESIDE)}, target)


def arithmetic(target: Target) -> Arguments:
    """Return shape and dtype of the arguments of ``arithmetic``."""
    shape = _chains_shape(describe_gpu(target))
    return [(shape, "float32"), (shape, "float32")]


def flop(target: Target) -> int:
    """Return how often ``arithmetic`` multiplies or adds."""
    return 2 * prod(_chains_shape(describe_gpu(target))) * AGAIN


def memory(target: Target, size: int) -> Arguments:
    """Return shape and dtype of the arguments of ``memory``, which reads at most `size` bytes."""
    groups, threads, vector = _readers(describe_gpu(target))
    lines = size // (4 * groups * threads * vector)
    return [((groups, lines, threads, vector), "float32"), ((groups, threads, vector), "float32")]


def _readers(gpu: Gpu) -> tuple[int, int, int]:
    return max(gpu.units * GROUPS, LEAST_GROUPS), gpu.threads, gpu.vector


def _chains_shape(gpu: Gpu) -> tuple[int, int, int, int]:
    """Return work-groups, threads, vectors of chains, and chains of a vector; what is added takes as many registers."""
    groups, threads, vector = _readers(gpu)
    return groups, threads, max(1, gpu.sums // 2), vector


def _chains(gpu: Gpu, times: int) -> PrimFunc:
    shape = _chains_shape(gpu)
    added = te.placeholder(shape, "float32", "added")
    again = te.reduce_axis((0, times), "again")
    chain = te.comm_reducer(lambda so_far, number: so_far * FACTOR + number, lambda dtype: te.const(0, dtype))
    chains = te.compute(shape, lambda *at: chain(added[at], axis=again), name="chains")
    sch = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([added, chains])}))
    block = sch.get_sblock("chains")
    written, read = sch.cache_write(block, 0, "local"), sch.cache_read(block, 0, "local")
    group, thread, row, lane, again_loop = sch.get_loops(block)
    outer, inner = sch.split(again_loop, [None, UNROLLED])
    sch.reorder(group, thread, outer, inner, row, lane)
    sch.bind(group, GROUP)
    sch.bind(thread, THREAD)
    sch.compute_at(read, thread)
    sch.reverse_compute_at(written, thread)
    for copy in (read, written):
        *_, rows, lanes = sch.get_loops(copy)
        sch.unroll(rows)
        sch.vectorize(lanes)
    sch.unroll(inner)
    sch.unroll(row)
    sch.vectorize(lane)
    *_, rows, lanes = sch.get_loops(sch.decompose_reduction(block, outer))
    sch.unroll(rows)
    sch.vectorize(lanes)
    return sch.mod["main"]


def _read(gpu: Gpu) -> PrimFunc:
    groups, threads, vector = _readers(gpu)
    lines = te.var("lines")
    memory = te.placeholder((groups, lines, threads, vector), "float32", "memory")
    line = te.reduce_axis((0, lines), "line")
    sums = te.compute((groups, threads, vector), lambda g, t, v: te.sum(memory[g, line, t, v], axis=line), name="sums")
    sch = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([memory, sums])}))
    block = sch.get_sblock("sums")
    written = sch.cache_write(block, 0, "local")
    group, thread, lane, line_loop = sch.get_loops(block)
    sch.reorder(group, thread, line_loop, lane)
    sch.bind(group, GROUP)
    sch.bind(thread, THREAD)
    sch.reverse_compute_at(written, thread)
    sch.vectorize(sch.get_loops(written)[-1])
    sch.vectorize(lane)
    sch.vectorize(sch.get_loops(sch.decompose_reduction(block, line_loop))[-1])
    return sch.mod["main"]
