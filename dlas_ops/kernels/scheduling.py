"""Fused tensor programs → the same, scheduled for a processor: as their annotation asks or, without one, generally."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule, Loop, PrimFunc, SBlock, Schedule, Target
from dlas_ops.kernels.operators import dense, depthwise, grouped, layout, pooling
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.sparse import tasks
from dlas_ops.passes.permutation import marked
from dlas_ops.processor.targets import Cpu, describe
from dlas_ops.schedule.steps import copy_stage, parallel
from dlas_ops.schedule.tunables import Choice, Space, chosen


def _none(sch: Schedule, block: SBlock, cpu: Cpu) -> Space:
    return {}


class Kind(NamedTuple):
    """A schedule for the blocks annotated with its name, and its tunable space."""

    schedule: Callable[[Schedule, SBlock, Cpu, Choice], None]
    tunables: Callable[[Schedule, SBlock, Cpu], Space] = _none


_KINDS = {
    "depthwise": Kind(depthwise.schedule, depthwise.tunables),
    "grouped": Kind(grouped.schedule, grouped.tunables),
    "dense": Kind(dense.schedule, dense.tunables),
    "mean": Kind(pooling.schedule_mean),
    "copy": Kind(layout.schedule),
    "scalar_copy": Kind(layout.schedule_scalar),
}


def schedule(module: IRModule, target: Target, scheduled: Mapping[str, PrimFunc] = MappingProxyType({})) -> IRModule:
    """Return `module` with every tensor program scheduled for `target`: by the rules, or as `scheduled` has it.

    Raises
    ------
    ValueError
        If `scheduled` has a program that `module` has not.
    """
    cpu = describe(target)
    given = dict(scheduled)
    result = tvm.IRModule(dict(module.functions.items()), attrs=module.attrs)
    for variable, function in _programs(module):
        result[variable] = given.pop(str(variable.name_hint), None) or schedule_function(function, cpu)
    if given:
        raise ValueError(f"no tensor program is called {', '.join(sorted(given))}")
    return result


def spaces(module: IRModule, target: Target) -> dict[str, Space]:
    """Return the tunable space of every tensor program of `module` that has one, by the program's name."""
    cpu = describe(target)
    found = {str(variable.name_hint): space(function, cpu) for variable, function in _programs(module)}
    return {name: tunables for name, tunables in found.items() if tunables}


def _programs(module: IRModule) -> list[tuple[PrimFunc, PrimFunc]]:
    functions = module.functions.items()
    return [(variable, function) for variable, function in functions if isinstance(function, tvm.tirx.PrimFunc)]


def schedule_function(function: PrimFunc, cpu: Cpu, choice: Choice | None = None) -> PrimFunc:
    """Return one tensor program, scheduled by the rules or, where `choice` says so, otherwise.

    Raises
    ------
    ValueError
        If `choice` is not of the function's `space`.
    """
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    if found := _annotated(sch):
        block, kind = found
        kind.schedule(sch, block, cpu, chosen(kind.tunables(sch, block, cpu), choice))
    else:
        chosen({}, choice)
        _general(sch, sch.get_child_blocks(sch.get_sblock("root")), cpu)
    return marked(sch.mod["main"])


def space(function: PrimFunc, cpu: Cpu) -> Space:
    """Return the tunables of one tensor program and the values that each may take, the rule-based one first."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": function}))
    found = _annotated(sch)
    return found[1].tunables(sch, found[0], cpu) if found else {}


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
    block = Asked.parse(name).sparse_module.tiled(sch, block, chosen(_kind(name).tunables(sch, block, cpu), choice))
    tasks.open_copies(sch, block, cpu)
    return sch.mod["main"]


def asked_schedule(function: PrimFunc) -> str:
    """Return the name of the schedule that a block of `function` asks for, or ""."""
    found = _asking(tvm.s_tir.Schedule(tvm.IRModule({"main": function})))
    return found[1] if found else ""


def _annotated(sch: Schedule) -> tuple[SBlock, Kind] | None:
    """Return the block that asks for a schedule, and that schedule."""
    found = _asking(sch)
    return (found[0], _kind(found[1])) if found else None


def _asking(sch: Schedule) -> tuple[SBlock, str] | None:
    """Return the block that asks for a schedule, and its name."""
    for block in sch.get_child_blocks(sch.get_sblock("root")):
        name = sch.get(block).annotations.get("dlas.schedule")
        if name is not None:
            return block, str(name)
    return None


def _kind(name: str) -> Kind:
    if known := _KINDS.get(name):
        return known
    module = Asked.parse(name).module
    return Kind(module.schedule, module.tunables)


def _general(sch: Schedule, blocks: list[SBlock], cpu: Cpu) -> None:
    """Inline what is element-wise; run every reduction, and what writes a result, over its outer loops in parallel."""
    ends = [sch.get(block) for block in sch.get_output_blocks(sch.get_sblock("root"))]
    kept = [_reduces(sch, block) or sch.get(block) in ends for block in blocks]
    for block, keep in zip(blocks, kept, strict=True):
        if not keep:
            sch.compute_inline(block)
    for block in (block for block, keep in zip(blocks, kept, strict=True) if keep):
        if _reduces(sch, block):
            parallel(sch, sch.fuse(*_spatial_loops(sch, block)), cpu)
        else:
            _elementwise(sch, block, cpu)


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
