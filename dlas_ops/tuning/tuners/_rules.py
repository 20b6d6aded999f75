"""Tensor program → MetaSchedule's rules for it, with the instructions that its sums are laid out for."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc, Schedule, ScheduleRule, SpaceGenerator, Target
from dlas_ops.processor import half
from dlas_ops.processor.cpus import Cpu, describe_cpu
from dlas_ops.processor.dot import dot_over, tensorized
from dlas_ops.processor.half import PARTIAL
from dlas_ops.tuning.tuners._programs import STRUCTURE, reductions, sources

# The sums of one of the two outer tiles have a buffer of their own.
SUMS_LEVELS = [1, 2]

MOST_TASKS_PER_CORE = 16
MOST_INNERMOST = 64

# With 512 as by default, LLVM took more than 8 s for 2 of 16 schedules of a depthwise convolution, and minutes once.
UNROLLED_STEPS = [0, 16, 64]

# More copies of the input, one of the other, take seconds to be tried where they do not fit.
MOST_MOVED = 1


def rules(function: PrimFunc, target: Target) -> SpaceGenerator:
    """Return the generator of schedules: MetaSchedule's rules for processors, but that sums are of whole vectors.

    Weights are packed by the algorithm, so no rule lays them out anew, and there is enough to do in parallel without a
    reduction being split.
    """
    from tvm.s_tir import meta_schedule as ms

    rule, mutator, postproc = ms.schedule_rule, ms.mutator, ms.postproc
    cpu = describe_cpu(target)
    names = instructions(function, cpu)
    reuse = rule.ReuseType("must", SUMS_LEVELS, "global")
    used = [
        _inline(),
        *(rule.MultiLevelTilingWithIntrin(name, STRUCTURE, None, MOST_INNERMOST, reuse_write=reuse) for name in names),
        # MultiLevelTiling also splits the vector: of 24 drawn schedules of a 3x3 convolution, half then take nine times
        # what the rule-based one does, instead of twice.
        rule.MultiLevelTilingWideVector(STRUCTURE, cpu.vector_bits, MOST_INNERMOST, reuse_write=reuse),
        _parallelize(MOST_INNERMOST, UNROLLED_STEPS),
    ]
    if not names and len(sources(function)) <= MOST_MOVED:
        # It may inline what copies the input, and an instruction then finds no vectors of it.
        used.append(rule.RandomComputeLocation())
    postprocs = [
        postproc.DisallowDynamicLoop(),
        postproc.RewriteParallelVectorizeUnroll(),
        postproc.RewriteReductionBlock(),
        postproc.RewriteTensorize(),
    ]
    mutators = {
        mutator.MutateTileSize(): 0.9,
        mutator.MutateComputeLocation(): 0.05,
        mutator.MutateUnroll(): 0.03,
        mutator.MutateParallel(MOST_TASKS_PER_CORE): 0.02,
    }
    return ms.space_generator.PostOrderApply(sch_rules=used, postprocs=postprocs, mutator_probs=mutators)


def around_sums(function: PrimFunc, target: Target) -> SpaceGenerator:
    """Return the generator of schedules of what lies around sums whose loops are as they shall be.

    Nothing keeps loops of other lengths than constants out: those over the non-zeros of CSR weights are. Nothing is
    vectorised or unrolled: the rules would do so with loops around the sums, which have their own vectors and steps.
    """
    from tvm.s_tir import meta_schedule as ms

    rule, postproc = ms.schedule_rule, ms.postproc
    return ms.space_generator.PostOrderApply(
        sch_rules=[_inline(), _parallelize(-1, [0]), rule.RandomComputeLocation()],
        postprocs=[postproc.RewriteParallelVectorizeUnroll(), postproc.RewriteReductionBlock()],
        mutator_probs={},
    )


def _inline() -> ScheduleRule:
    from tvm.s_tir.meta_schedule import schedule_rule

    return schedule_rule.AutoInline(
        into_producer=False, into_consumer=True, inline_const_tensor=True, disallow_if_then_else=True,
        require_injective=True, require_ordered=True,
    )  # fmt: skip


def _parallelize(vector: int, unrolled: list[int]) -> ScheduleRule:
    from tvm.s_tir.meta_schedule import schedule_rule

    return schedule_rule.ParallelizeVectorizeUnroll(
        max_jobs_per_core=MOST_TASKS_PER_CORE, max_vectorize_extent=vector, unroll_max_steps=unrolled,
        unroll_explicit=True,
    )  # fmt: skip


def instructions(function: PrimFunc, cpu: Cpu) -> list[str]:
    """Register the instructions that the sums of `function` are laid out for; return their names.

    A trace names them, so this comes before it is replayed, too. They add to memory: a tile's sums may be too many for
    the stack, and LLVM keeps those in registers that the innermost loops add to.
    """
    found: list[str] = []
    for block in reductions(function):
        data, weight = block.reads[-2:][0].source, block.reads[-1].source
        dot, sums = dot_over(str(data.dtype), cpu), str(block.writes[0].source.dtype)
        grouped = len(weight.shape) > 1 and int(weight.shape[-1]) == dot.values > 1
        if PARTIAL in block.annotations:
            found.append(half.multiplied(cpu.lanes(), "global"))
        elif grouped and (sums, str(weight.dtype)) == (dot.sums, dot.weight):
            found.append(tensorized(dot, int(weight.shape[-2]), scope="global"))
    return found


def in_whole_vectors(sch: Schedule, function: PrimFunc) -> None:
    """Unroll what the rules vectorise around an instruction, and set its sums to zero in whole vectors."""
    for name in (str(block.name_hint) for block in reductions(function)):
        if _has(sch, f"{name}_o_init"):
            for outer in (f"{name}_o_init", f"{name}_o_update"):
                for loop in sch.get_loops(sch.get_sblock(outer)):
                    if sch.get(loop).kind == tvm.tirx.ForKind.VECTORIZED:
                        sch.unroll(loop)
            sch.vectorize(sch.fuse(*sch.get_loops(sch.get_sblock(f"{name}_init"))))


def _has(sch: Schedule, name: str) -> bool:
    try:
        sch.get_sblock(name)
    except tvm.s_tir.ScheduleError:
        return False
    return True
