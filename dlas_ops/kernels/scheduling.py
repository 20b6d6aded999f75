"""Fused tensor programs → the same, scheduled for a processor: as their annotation asks or, without one, generally."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule, PrimFunc, SBlock, Schedule, Target
from dlas_ops.kernels.operators import attention, depthwise, general, grouped, layout, phases, pooling, product
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.sparse import tasks, thread_sums
from dlas_ops.passes import bfloat_products, matrix_products, permutation, vector_math
from dlas_ops.passes.lanes import LANES
from dlas_ops.passes.work_groups import excess
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor, describe
from dlas_ops.schedule.tunables import Choice, Space, chosen

# Attribute of a scheduled program: what the rules' schedule does without on this GPU, and why.
NOTE = "dlas.note"


def _none(sch: Schedule, block: SBlock, processor: Processor) -> Space:
    return {}


class Kind(NamedTuple):
    """A schedule for the blocks annotated with its name, and its tunable space."""

    schedule: Callable[[Schedule, SBlock, Any, Choice], None]
    tunables: Callable[[Schedule, SBlock, Any], Space] = _none


COPIES = ("copy", "scalar_copy", "channel_copy")
_KINDS = {
    "depthwise": Kind(depthwise.schedule, depthwise.tunables),
    "grouped": Kind(grouped.schedule, grouped.tunables),
    "interleaved": Kind(phases.schedule),
    "product": Kind(product.schedule, product.tunables),
    "attention": Kind(attention.schedule),
    "mean": Kind(pooling.schedule_mean),
    "copy": Kind(layout.schedule),
    "scalar_copy": Kind(layout.schedule_scalar),
    "channel_copy": Kind(layout.schedule_channels),
}
_GPU_KINDS = {
    "depthwise": Kind(depthwise.schedule_gpu, depthwise.tunables_gpu),
    "grouped": Kind(grouped.schedule_gpu, grouped.tunables_gpu),
    "interleaved": Kind(phases.schedule_gpu),
    "product": Kind(product.schedule_gpu, product.tunables_gpu),
    "mean": Kind(pooling.schedule_mean_gpu),
    "copy": Kind(layout.schedule_gpu),
    "scalar_copy": Kind(layout.schedule_scalar_gpu),
    "channel_copy": Kind(layout.schedule_scalar_gpu),
}


def schedule(module: IRModule, target: Target, scheduled: Mapping[str, PrimFunc] = MappingProxyType({})) -> IRModule:
    """Return `module` with every tensor program scheduled for `target`: by the rules, or as `scheduled` has it.

    Raises
    ------
    ValueError
        If `scheduled` has a program that `module` has not.
    """
    processor = describe(target)
    given = dict(scheduled)
    result = tvm.IRModule(dict(module.functions.items()), attrs=module.attrs)
    for variable, function in _programs(module):
        done = given.pop(str(variable.name_hint), None)
        done = vector_math.marked(done) if done is not None else schedule_function(function, processor)
        # Else TVM's pipeline for GPUs schedules it once more, where one of its own rules takes it for a matrix product.
        result[variable] = done.with_attr("tirx.is_scheduled", True) if isinstance(processor, Gpu) else done
    if given:
        raise ValueError(f"no tensor program is called {', '.join(sorted(given))}")
    return result


def spaces(module: IRModule, target: Target) -> dict[str, Space]:
    """Return the tunable space of every tensor program of `module` that has one, by the program's name."""
    processor = describe(target)
    found = {str(variable.name_hint): space(function, processor) for variable, function in _programs(module)}
    return {name: tunables for name, tunables in found.items() if tunables}


def _programs(module: IRModule) -> list[tuple[PrimFunc, PrimFunc]]:
    functions = module.functions.items()
    return [(variable, function) for variable, function in functions if isinstance(function, tvm.tirx.PrimFunc)]


def schedule_function(function: PrimFunc, processor: Processor, choice: Choice | None = None) -> PrimFunc:
    """Return one tensor program, scheduled by the rules or, where `choice` says so, otherwise.

    Where a work-group by the rules would take more shared memory than a GPU has, it takes none; `note_of` says so.

    Raises
    ------
    ValueError
        If `choice` is not of the function's `space`, or asks for more than a work-group of the GPU has.
    """
    if not isinstance(processor, Gpu):
        return _scheduled(function, processor, choice)
    made = _scheduled(function, processor, choice)
    reason = excess(made, processor)
    if not reason:
        return made
    if not choice:
        made = _scheduled(function, replace(processor, shared_bytes=0), choice)
        if not excess(made, processor):
            return made.with_attr(NOTE, f"takes no shared memory: {reason}")
    raise ValueError(reason)


def note_of(function: PrimFunc) -> str:
    """Return what the rules' schedule of a scheduled program does without, and why; "" where it is as they have it."""
    return str((function.attrs or {}).get(NOTE, ""))


def sums_in_matrices(function: PrimFunc) -> bool:
    """Tell whether a scheduled program holds its sums in the processor's matrices."""
    return matrix_products.MARKED in (function.attrs or {})


def _scheduled(function: PrimFunc, processor: Processor, choice: Choice | None) -> PrimFunc:
    function = vector_math.marked(function)
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    if found := _annotated(sch, processor):
        block, kind = found
        kind.schedule(sch, block, processor, chosen(kind.tunables(sch, block, processor), choice))
    else:
        chosen({}, choice)
        if isinstance(processor, Gpu):
            general.schedule_gpu(sch, processor)
        else:
            general.schedule(sch, processor)
            return permutation.marked(sch.mod["main"]).with_attr(LANES, processor.lanes())
    if isinstance(processor, Gpu) and is_sparse(function):
        return thread_sums.simplified(sch.mod)["main"]
    made = bfloat_products.marked(permutation.marked(sch.mod["main"]))
    return matrix_products.marked(made) if isinstance(processor, Cpu) and processor.matrix else made


def space(function: PrimFunc, processor: Processor) -> Space:
    """Return the tunables of one tensor program and the values that each may take, the rule-based one first."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    found = _annotated(sch, processor)
    return found[1].tunables(sch, found[0], processor) if found else {}


def is_sparse(function: PrimFunc) -> bool:
    """Tell whether `function` sums over CSR weights."""
    return asked_schedule(function).endswith("/csr")


def opened(function: PrimFunc, cpu: Cpu, choice: Choice) -> PrimFunc:
    """Return a `function` that sums over CSR weights with loops in the place of its sums and of what repacks for them.

    All else is as it is.

    Raises
    ------
    ValueError
        If `choice` is not of the function's `space`.
    """
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    found = _asking(sch)
    assert found is not None
    block, name = found
    block = Asked.parse(name).sparse_module.tiled(
        sch, block, chosen(_kind(name, cpu).tunables(sch, block, cpu), choice)
    )
    tasks.open_copies(sch, block, cpu)
    return sch.mod["main"]


class Around(NamedTuple):
    """The kernels that an algorithm runs on a GPU beside that of its sums.

    Attributes
    ----------
    sums : name of the block that sums
    before, after : names of the block that it reads and of the one that reads it
    schedule : schedules these two, given their handles, and all before and after them
    """

    sums: str
    before: str
    after: str
    schedule: Callable[[Schedule, SBlock, SBlock, Gpu], None]


def kernels_around(function: PrimFunc) -> Around | None:
    """Return what the algorithm of `function` schedules around its sums on a GPU, or None if that is nothing."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    found = _asking(sch)
    if found is None or found[1] in _GPU_KINDS:
        return None
    schedule = getattr(Asked.parse(found[1]).module, "schedule_around_gpu", None)
    if schedule is None:
        return None
    block = found[0]
    blocks = (block, sch.get_producers(block)[0], sch.get_consumers(block)[0])
    sums, before, after = (str(sch.get(each).name_hint) for each in blocks)
    return Around(sums, before, after, schedule)


def asked_schedule(function: PrimFunc) -> str:
    """Return the name of the schedule that a block of `function` asks for, or ""."""
    found = _asking(tvm.s_tir.Schedule(tvm.IRModule({"main": function})))
    return found[1] if found else ""


def _annotated(sch: Schedule, processor: Processor) -> tuple[SBlock, Kind] | None:
    """Return the block that asks for a schedule, and that schedule."""
    found = _asking(sch)
    return (found[0], _kind(found[1], processor)) if found else None


def _asking(sch: Schedule) -> tuple[SBlock, str] | None:
    """Return the block that asks for a schedule, and its name.

    A copy does not where a split is fused to it: its schedule is of one output.
    """
    root = sch.get_sblock("root")
    for block in sch.get_child_blocks(root):
        name = sch.get(block).annotations.get("dlas.schedule")
        if name is not None and not (name in COPIES and len(sch.get_output_blocks(root)) > 1):
            return block, str(name)
    return None


def _kind(name: str, processor: Processor) -> Kind:
    kinds = _GPU_KINDS if isinstance(processor, Gpu) else _KINDS
    if known := kinds.get(name):
        return known
    module = Asked.parse(name).module
    if isinstance(processor, Gpu):
        return Kind(module.schedule_gpu, module.tunables_gpu)
    return Kind(module.schedule, module.tunables)
