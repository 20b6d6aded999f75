"""Steps of a program → the axes of its result over which every step can run, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, SBlock, Schedule
from dlas_ops.passes.loops import found_in
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.steps import divisors, extents

# Points of a row that are computed side by side, where neighbours in memory belong to different rows.
MOST_SIDE_BY_SIDE = 64


@dataclass(frozen=True)
class Row:
    """A row of the result, which every step of the program serves before the next row begins.

    Attributes
    ----------
    outer : axes of the result that count the rows
    tile : so many points along the innermost axis make up one row, each of them for itself; 0: all are one
    """

    outer: tuple[int, ...]
    tile: int = 0


def common_row(sch: Schedule, blocks: Sequence[SBlock], cpu: Cpu) -> Row | None:
    """Return the row that each of `blocks` serves, of the result of the last one, if there are enough of them."""
    *steps, last = blocks
    if not steps or len(sch.get_output_blocks(sch.get_sblock("root"))) != 1 or _reduces(sch, last):
        return None
    sizes = extents(sch, last)
    axes = _axes(sch, blocks)
    if any(found is None for found in axes):
        return None
    shared = [axis for axis, size in enumerate(sizes) if size == 1 or all(axis in found for found in axes if found)]
    if any(found == set() for found in axes):
        shared = [axis for axis, size in enumerate(sizes) if size == 1]
    innermost = len(sizes) - 1
    if sizes[innermost] == 1 or innermost not in shared:
        return Row(tuple(shared)) if shared and _enough(sizes, shared, cpu) else None
    outer = [axis for axis in shared if axis != innermost]
    if outer and _enough(sizes, outer, cpu):
        return Row(tuple(outer))
    wanted = min(MOST_SIDE_BY_SIDE, sizes[innermost] * prod(sizes[axis] for axis in outer) // (2 * cpu.cores))
    tiles = [size for size in divisors(sizes[innermost]) if size <= wanted]
    best = max(tiles, key=lambda size: (size % cpu.lanes() == 0, size), default=0)
    return Row(tuple(outer), best) if best >= min(cpu.lanes(), sizes[innermost]) else None


def _enough(sizes: Sequence[int], axes: Sequence[int], cpu: Cpu) -> bool:
    """Tell whether there are several rows for each core, or all is little work."""
    return prod(sizes[axis] for axis in axes) >= 2 * cpu.cores or prod(sizes) < cpu.least_parallel


def _axes(sch: Schedule, blocks: Sequence[SBlock]) -> list[set[int] | None]:
    """Return for each block but the last the axes of the last one's result that it serves; None if it can't be told."""
    *steps, last = blocks
    names = [sch.get(block).name_hint for block in blocks]
    known: dict[str, dict[str, int]] = {
        names[-1]: {str(axis.var.name): index for index, axis in enumerate(sch.get(last).iter_vars)}
    }
    found: list[set[int] | None] = []
    for step in reversed(steps):
        block = sch.get(step)
        buffer = block.writes[0].source
        along = [
            _along(sch.get(reader), buffer, known.get(sch.get(reader).name_hint)) for reader in sch.get_consumers(step)
        ]
        if not along or any(one is None for one in along):
            return [None]
        same = [axes[0] if len(set(axes)) == 1 else None for axes in zip(*(one for one in along if one), strict=True)]
        indices = found_in(block.body, tvm.tirx.BufferStore)[0].indices
        known[block.name_hint] = {
            str(index.name): axis
            for index, axis in zip(indices, same, strict=True)
            if axis is not None and isinstance(index, tvm.tirx.Var)
        }
        found.append(set(known[block.name_hint].values()))
    return found


def _along(reader: Any, buffer: Any, known: dict[str, int] | None) -> list[int | None] | None:
    """Return for each dimension of `buffer` the axis of the result along which `reader` reads it."""
    if known is None:
        return None
    loads = [load for load in found_in(reader.body, tvm.ir.TensorLoad) if load.source.same_as(buffer)]
    each = [[_axis(index, known) for index in load.indices] for load in loads]
    return [axes[0] if len(set(axes)) == 1 else None for axes in zip(*each, strict=True)] if each else None


def _axis(index: Expr, known: dict[str, int]) -> int | None:
    return known.get(str(index.name)) if isinstance(index, tvm.tirx.Var) else None


def _reduces(sch: Schedule, block: SBlock) -> bool:
    return any(axis.iter_type == tvm.tirx.IterVar.CommReduce for axis in sch.get(block).iter_vars)
