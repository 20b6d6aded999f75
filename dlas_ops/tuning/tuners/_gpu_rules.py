"""Tensor program and description of a GPU → MetaSchedule's rules for it, within what a work-group may take."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops._types import Block, Loop, Postproc, PrimFunc, SBlock, Schedule, ScheduleRule, SpaceGenerator, Target
from dlas_ops.kernels import scheduling
from dlas_ops.processor.gpu_dot import VALUES, summed
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.threads import BYTE, GROUP, SHARED, THREAD, bind_all, bind_points
from dlas_ops.tuning.tuners._programs import STRUCTURE, reductions

# Tiles of spatial and reduction loops, outermost first, and what the first ones are bound to: threads that TVM calls
# virtual are copies of a thread's work that lie apart. Behind the first reduction, operands are brought to shared
# memory.
GROUP_STRUCTURE = "SSSRRSRS"
BINDS = [GROUP, "vthread.x", THREAD]
OPERANDS_LEVELS = [4]
SUMS_LEVELS = [3]

# Of a work-group of one thread: the sums of one of its inner tiles.
SUMS_LEVELS_ALONE = [2]

# A thread has so many times the sums that it keeps in registers, at most: more spill. Where it has a core to itself,
# the sums that its innermost tile does not add to wait in the L1 cache.
MOST_SUMS = 4
MOST_SUMS_ALONE = 16

# On a block: the rule that MetaSchedule applies to it instead of all others.
RULE = "schedule_rule"

# On a loop: what is brought to shared memory while the numbers of the step before are summed.
PIPELINE = ("software_pipeline_stage", "software_pipeline_order", "software_pipeline_async_stages")

MOST_INNERMOST = 64
FEWEST_TOGETHER = 4
UNROLLED_STEPS = [0, 16, 64]


def gpu_rules(function: PrimFunc, gpu: Gpu) -> SpaceGenerator:
    """Return the generator of schedules: MetaSchedule's rules for GPUs, with the numbers of `gpu`."""
    from tvm.s_tir import meta_schedule as ms

    rule, mutator, postproc = ms.schedule_rule, ms.mutator, ms.postproc
    used = [*_tiling(function, gpu), rule.InlineConstantScalars(), _inline(gpu)]
    if gpu.stages:
        used.append(rule.CrossThreadReduction(_powers(FEWEST_TOGETHER, gpu.threads)))
    vector = -1 if _reads_bytes(function) else gpu.vector
    used.append(rule.ParallelizeVectorizeUnroll(-1, vector, UNROLLED_STEPS, unroll_explicit=True))
    postprocs = [
        postproc.DisallowDynamicLoop(),
        postproc.RewriteCooperativeFetch(),
        # Most of what is drawn ends here, before more is done to it. What follows takes no more threads or memory.
        *([postproc.VerifyGPUCode()] if gpu.threads > 1 else []),
        _binding(gpu, scheduling.kernels_around(function)),
        postproc.RewriteParallelVectorizeUnroll(),
        postproc.RewriteReductionBlock(),
        postproc.RewriteTensorize(),
    ]
    mutators = {mutator.MutateTileSize(): 0.9, mutator.MutateUnroll(): 0.08, mutator.MutateThreadBinding(): 0.02}
    return ms.space_generator.PostOrderApply(sch_rules=used, postprocs=postprocs, mutator_probs=mutators)


def with_limits(target: Target, gpu: Gpu) -> Target:
    """Return `target` with what a work-group of `gpu` may take, which the rules ask for.

    Of the threads that run in step at most half may idle, as in what the algorithms' own schedules try.
    """
    limits = {
        "max_threads_per_block": gpu.threads,
        "max_shared_memory_per_block": gpu.shared_bytes,
        "thread_warp_size": max(1, gpu.warp // 2),
    }
    return tvm.target.Target({**target.export(), **limits})


def only_sums(function: PrimFunc) -> PrimFunc:
    """Return `function` with no rule applied to what its algorithm itself schedules around its sums on a GPU."""
    around = scheduling.kernels_around(function)
    if around is None:
        return function
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    for block in sch.get_child_blocks(sch.get_sblock("root")):
        if str(sch.get(block).name_hint) != around.sums:
            sch.annotate(block, RULE, "None")
    return sch.mod["main"]


def gpu_instructions(function: PrimFunc, gpu: Gpu) -> list[str]:
    """Register the instruction that the sums of `function` are laid out for; return its name."""
    scope = SHARED if gpu.stages else "global"
    laid_out = gpu.dot and any(_sums_bytes(block) for block in reductions(function))
    return [summed(gpu.dot, scope, scope)] if laid_out else []


def _sums_bytes(block: Block) -> bool:
    """Tell whether the last loop of `block` is over as many products of bytes as an instruction adds."""
    bytes_read = [read for read in block.reads if _bits(read) == BYTE]
    return len(bytes_read) > 1 and int(block.iter_vars[-1].dom.extent) == VALUES


def _tiling(function: PrimFunc, gpu: Gpu) -> list[ScheduleRule]:
    """Return the rules that tile sums: for a work-group and its threads or, where it is one thread, for its vectors."""
    from tvm.s_tir.meta_schedule import schedule_rule as rule

    if gpu.threads == 1:
        sums = rule.ReuseType("must", SUMS_LEVELS_ALONE, "local")
        bits = gpu.vector * min((_bits(write) for block in reductions(function) for write in block.writes), default=32)
        return [rule.MultiLevelTilingWideVector(STRUCTURE, bits, MOST_INNERMOST, reuse_write=sums)]
    sums = rule.ReuseType("must", SUMS_LEVELS, "local")
    operands = rule.ReuseType("must", OPERANDS_LEVELS, SHARED) if gpu.stages else None
    widths = _powers(1, 1 if _reads_bytes(function) else gpu.vector) if gpu.stages else None
    tiled = (GROUP_STRUCTURE, BINDS, MOST_INNERMOST, widths, operands, sums)
    names = gpu_instructions(function, gpu)
    return [*(rule.MultiLevelTilingWithIntrin(name, *tiled) for name in names), rule.MultiLevelTiling(*tiled)]


def _inline(gpu: Gpu) -> ScheduleRule:
    """Return the rule that inlines: borders too, where they are made once as operands are brought to shared memory."""
    from tvm.s_tir.meta_schedule import schedule_rule

    return schedule_rule.AutoInline(
        into_producer=True, into_consumer=True, inline_const_tensor=True, disallow_if_then_else=not gpu.stages,
        require_injective=not gpu.stages, require_ordered=False,
    )  # fmt: skip


def _binding(gpu: Gpu, around: scheduling.Around | None) -> Postproc:
    """Return the step that binds what no rule has bound to threads: as its algorithm does, or generally."""
    from tvm.s_tir.meta_schedule.postproc.postproc import _PyPostproc

    def apply(sch: Schedule) -> bool:
        for block in sch.get_child_blocks(sch.get_sblock("root")):
            _without_short_pipelines(sch, block)
        if around is not None:
            around.schedule(sch, sch.get_sblock(around.before), sch.get_sblock(around.after), gpu)
        for block in sch.get_child_blocks(sch.get_sblock("root")):
            if not _is_bound(sch, block):
                _bind(sch, block, gpu)
        return _sums(sch) <= gpu.sums * gpu.vector * (MOST_SUMS_ALONE if gpu.threads == 1 else MOST_SUMS)

    return _PyPostproc(lambda _context: None, apply, lambda: _binding(gpu, around))


def _without_short_pipelines(sch: Schedule, block: SBlock) -> None:
    """Remove the pipelines of loops around `block` that take one step only, which has no step before it."""
    # Workaround: TVM 0.27: `RewriteReductionBlock` sets the sums to zero within such a loop, which then holds more than
    # the pipeline tells the order of, and cannot be built; tests/workarounds
    for loop in sch.get_loops(block):
        held = sch.get(loop)
        if held.extent == 1:
            for key in PIPELINE:
                if key in held.annotations:
                    sch.unannotate(loop, key)


def _is_bound(sch: Schedule, block: SBlock, axis: str = GROUP) -> bool:
    return axis in [_axis(sch, loop) for loop in sch.get_loops(block)]


def _axis(sch: Schedule, loop: Loop) -> str:
    """Return what `loop` is bound to, "" if to nothing."""
    bound = sch.get(loop).thread_binding
    return "" if bound is None else str(bound.thread_tag)


def _bind(sch: Schedule, block: SBlock, gpu: Gpu) -> None:
    """Give work-groups to `block`, to which no rule has given any, and to all that shares its outer loops."""
    if not sch.get_loops(block):
        sch.add_unit_loop(block)
    # Workaround: TVM 0.27: a split below a copied root changes the program that the schedule was made of; to fuse the
    # outermost loop copies it; tests/workarounds
    sch.fuse(sch.get_loops(block)[0])
    loops = sch.get_loops(block)
    outer = _outer(sch, block, loops) or [sch.add_unit_loop(loops[0])]
    if _is_bound(sch, block, THREAD):
        sch.bind(sch.fuse(*outer), GROUP)
    elif len(outer) == len(loops):
        bind_all(sch, block, gpu)
    else:
        bind_points(sch, outer, gpu)


def _outer(sch: Schedule, block: SBlock, loops: Sequence[Loop]) -> list[Loop]:
    """Return the first of the `loops` around `block`: those over points that can be computed apart.

    Of a reduction that no rule tiled, the last loops are over what it reduces; of others, the last of these loops is
    the first one that holds more than the next, or that threads share.
    """
    around = [sch.get(loop) for loop in loops]
    chain = [isinstance(loop.body, tvm.tirx.For) and loop.body.thread_binding is None for loop in around]
    outer = list(loops[: chain.index(False) + 1])
    reduced = [axis.iter_type == tvm.tirx.IterVar.CommReduce for axis in sch.get(block).iter_vars]
    return outer[: len(outer) - sum(reduced)] if len(outer) == len(loops) else outer


def _sums(sch: Schedule) -> int:
    """Return how many sums a thread has at most that it copies to memory when they are whole, by the rules."""
    most = 0
    for block in sch.get_child_blocks(sch.get_sblock("root")):
        held = sch.get(block)
        if RULE in held.annotations:  # its algorithm has scheduled it
            continue
        if any(read.source.scope() == "local" for read in held.reads) and held.writes[0].source.scope() != "local":
            own = [sch.get(loop) for loop in sch.get_loops(block) if _axis(sch, loop) not in (GROUP, THREAD)]
            most = max(most, prod(int(loop.extent) for loop in own))
    return most


def _powers(least: int, most: int) -> list[int]:
    """Return the powers of two between `least`, which is one, and `most`."""
    return [1 << power for power in range(least.bit_length() - 1, most.bit_length())]


def _reads_bytes(function: PrimFunc) -> bool:
    """Tell whether sums of `function` read bytes, which TVM packs wrongly where they are gathered."""
    # Workaround: TVM 0.27: its OpenCL C packs gathered bytes as CUDA's int; tests/workarounds
    return any(_bits(parameter.ty) == BYTE for parameter in function.params)


def _bits(held: Any) -> int:
    """Return the width of one element of what has a dtype, or of the buffer of a region."""
    return int(tvm.DataType(str(getattr(held, "source", held).dtype)).bits)
