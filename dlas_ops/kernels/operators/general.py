"""Programs without a schedule of their own → scheduled generally: element-wise operators, copies and reductions.

What is cheap is computed where it is read, and what is not is computed once. Where every reduction serves one row of
the result (a softmax, a norm), the program goes from row to row, all of a row's steps while it lies in the cache. The
innermost loops stay as they are here: `dlas_ops.passes.lanes` makes vectors of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops._types import Loop, SBlock, Schedule
from dlas_ops.kernels.operators.rows import Row, common_row
from dlas_ops.passes.loops import found_in
from dlas_ops.passes.vector_math import is_polynomial
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.steps import divisors, extents, parallel
from dlas_ops.schedule.threads import bind_all, bind_points

# Iterations of a parallel loop for each core, so that none idles for long at the end.
PARTS_PER_CORE = 8
# Elements that a part of a loop has at least, and those of a tile whose sums lie in the L1 cache.
LEAST_PART, TILE = 256, 256
# Bytes of a step's results that lie on the stack.
MOST_STACK = 1 << 14
# Rows of a tile that it pays to make one for.
LEAST_ROWS = 4
SPATIAL = tvm.tirx.IterVar.DataPar


def schedule(sch: Schedule, cpu: Cpu) -> None:
    """Run the program row by row, rows in parallel, or each of its steps in parallel over its outer loops."""
    blocks = _kept(sch)
    row = common_row(sch, blocks, cpu)
    if row is not None and len(blocks) > 1:
        _row_by_row(sch, blocks, row, cpu)
        return
    for block in blocks:
        if _reduces(sch, block):
            _reduction(sch, block, cpu)
        else:
            _in_parts(sch, _in_tiles(sch, block, cpu), cpu)


def schedule_gpu(sch: Schedule, gpu: Gpu) -> None:
    """Inline what is element-wise; give each thread one point of every reduction, and a vector of every result."""
    for block in _kept(sch, all_inlined=True):
        loops = _spatial_loops(sch, block)
        if not loops:
            sch.add_unit_loop(block)
            loops = sch.get_loops(block)[:1]
        if _reduces(sch, block):
            bind_points(sch, loops, gpu)
        else:
            bind_all(sch, block, gpu)


def _kept(sch: Schedule, all_inlined: bool = False) -> list[SBlock]:
    """Inline what is element-wise and no result; return the other blocks.

    Unless `all_inlined`, what costs more than to read it again is not inlined where that would compute it anew.
    """
    blocks = sch.get_child_blocks(sch.get_sblock("root"))
    ends = [sch.get(block) for block in sch.get_output_blocks(sch.get_sblock("root"))]
    kept = []
    for block in blocks:
        must_stay = _reduces(sch, block) or sch.get(block) in ends
        if must_stay or not (all_inlined or _cheap(sch, block)):
            kept.append(block)
            continue
        try:
            sch.compute_inline(block)
        except tvm.s_tir.ScheduleError:  # it writes elsewhere than at its own point
            kept.append(block)
    return kept


def _cheap(sch: Schedule, block: SBlock) -> bool:
    """Tell whether to compute `block` where it is read costs no more than to compute it once."""
    consumers, body = sch.get_consumers(block), sch.get(block).body
    calls = [str(getattr(call.op, "name", "")) for call in found_in(body, tvm.ir.Call)]
    if "dlas.once" in sch.get(block).annotations:
        return False
    amplified = any(prod(extents(sch, consumer)) > prod(extents(sch, block)) for consumer in consumers)
    if any(is_polynomial(name) for name in calls):
        return len(consumers) == 1 and not amplified
    divides = found_in(body, tvm.tirx.Div) or any("sqrt" in name for name in calls)
    return not (amplified and divides)


def _row_by_row(sch: Schedule, blocks: Sequence[SBlock], row: Row, cpu: Cpu) -> None:
    """Compute all `blocks` of a row, the last one's, at once."""
    *steps, last = blocks
    loops = sch.get_loops(last)
    outer = [loops[axis] for axis in row.outer]
    inner = [loop for axis, loop in enumerate(loops) if axis not in row.outer]
    if row.tile:
        part, inner[-1] = sch.split(inner[-1], [None, row.tile])
        outer.append(part)
    sch.reorder(*outer, *inner)
    rows = sch.fuse(*outer)
    for step in reversed(steps):
        sch.compute_at(step, rows, preserve_unit_loops=True)
        if _row_bytes(sch, step) <= MOST_STACK:
            sch.set_scope(step, 0, "local")
    parallel(sch, rows, cpu)
    for step in steps:
        if _reduces(sch, step):
            _sum_inside(sch, step, sch.get_loops(step)[1:])


def _row_bytes(sch: Schedule, step: SBlock) -> int:
    """Return the size of what `step` writes in one row."""
    kinds = [axis.iter_type for axis in sch.get(step).iter_vars]
    sizes = [size for size, kind in zip(extents(sch, step)[1:], kinds, strict=False) if kind == SPATIAL]
    return prod(sizes) * np.dtype(str(sch.get(step).writes[0].source.dtype)).itemsize


def _reduction(sch: Schedule, block: SBlock, cpu: Cpu) -> None:
    """Reduce in parallel over the points of the result or, if these are few, over parts of what is reduced."""
    spatial, reduced = _loops(sch, block)
    points = prod(_sizes(sch, spatial))
    if spatial and _along_points(sch, block):
        points = points // int(sch.get(spatial[-1]).extent) * -(-int(sch.get(spatial[-1]).extent) // cpu.lanes())
    if points < 2 * cpu.cores and (part := _part(sch, reduced, cpu)) is not None:
        partial = sch.rfactor(part, 0)
        _reduction(sch, partial, cpu)
        first, *_ = _loops(sch, block)[1]
        sch.decompose_reduction(block, first)
        return
    if not spatial:
        sch.decompose_reduction(block, reduced[0])
        return
    if _along_points(sch, block):
        size = _tile(int(sch.get(spatial[-1]).extent), prod(_sizes(sch, spatial[:-1])), cpu)
        outer, inner = sch.split(spatial[-1], [None, size])
        loops = [*spatial[:-1], outer]
        sch.reorder(*loops, *reduced, inner)
    else:
        loops = spatial
        sch.reorder(*loops, *reduced)
    parallel(sch, sch.fuse(*loops), cpu)
    sch.decompose_reduction(block, reduced[0])


def _part(sch: Schedule, reduced: Sequence[Loop], cpu: Cpu) -> Loop | None:
    """Return a loop over parts of the outermost reduction that is longer than 1, if it can be cut into enough."""
    if prod(_sizes(sch, reduced)) < 2 * cpu.least_parallel:
        return None
    first = next(loop for loop in reduced if int(sch.get(loop).extent) > 1)
    parts = [size for size in divisors(int(sch.get(first).extent)) if cpu.cores <= size <= PARTS_PER_CORE * cpu.cores]
    return sch.split(first, [parts[-1], None])[0] if parts else None


def _sum_inside(sch: Schedule, block: SBlock, loops: Sequence[Loop]) -> None:
    """Reduce in the innermost `loops` of `block`: over points inside the reduction, where these are neighbours."""
    kinds = [axis.iter_type for axis in sch.get(block).iter_vars][-len(loops) :]
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == SPATIAL]
    reduced = [loop for loop, kind in zip(loops, kinds, strict=True) if kind != SPATIAL]
    if spatial and _along_points(sch, block):
        sch.reorder(*spatial[:-1], *reduced, spatial[-1])
    sch.decompose_reduction(block, reduced[0])


def _along_points(sch: Schedule, block: SBlock) -> bool:
    """Tell whether neighbours in memory belong to different points of the result of a reduction."""
    held = sch.get(block)
    points = [axis.var for axis in held.iter_vars if axis.iter_type == SPATIAL]
    written = held.writes[0].source
    loads = [load for load in found_in(held.body, tvm.ir.TensorLoad) if not load.source.same_as(written)]
    last = [load.indices[-1] for load in loads if load.indices and int(load.source.shape[-1]) > 1]
    used = [variable for index in last for variable in found_in(index, tvm.tirx.Var)]
    return bool(used) and all(any(variable.same_as(point) for point in points) for variable in used)


def _in_tiles(sch: Schedule, block: SBlock, cpu: Cpu) -> Sequence[Loop]:
    """Return the loops over `block`, in tiles if what are neighbours in what it reads are not in what it writes.

    The cache lines that a tile reads are read once, and lie in the L1 cache while it takes from each.
    """
    loops: Sequence[Loop] = sch.get_loops(block)
    axis = _read_along(sch, block)
    if axis is None:
        return loops
    lanes, extent = cpu.lanes(), int(sch.get(loops[axis]).extent)
    size = max(size for size in divisors(extent) if size <= lanes)
    width = max(size for size in divisors(int(sch.get(loops[-1]).extent)) if size <= TILE)
    if size < LEAST_ROWS or width < size:
        return loops
    outer, inner = sch.split(loops[axis], [None, size])
    whole, part = sch.split(loops[-1], [None, width])
    order = [*loops[:axis], outer, *loops[axis + 1 : -1], whole]
    sch.reorder(*order, inner, part)
    return order


def _read_along(sch: Schedule, block: SBlock) -> int | None:
    """Return the axis along which `block` reads neighbours, if that is not the axis along which it writes them."""
    held = sch.get(block)
    variables = [axis.var for axis in held.iter_vars]
    for load in found_in(held.body, tvm.ir.TensorLoad):
        if not load.indices or int(load.source.shape[-1]) == 1:
            continue
        used = found_in(load.indices[-1], tvm.tirx.Var)
        along = [axis for axis, own in enumerate(variables) if any(own.same_as(variable) for variable in used)]
        if along and along[-1] != len(variables) - 1:
            return along[-1]
    return None


def _in_parts(sch: Schedule, loops: Sequence[Loop], cpu: Cpu) -> None:
    """Run so many of the outer loops in parallel that every core has several parts to do."""
    if not loops:
        return
    wanted, sizes = PARTS_PER_CORE * cpu.cores, _sizes(sch, loops)
    depth = next((n for n in range(1, len(loops)) if prod(sizes[:n]) >= wanted), len(loops) - 1)
    outer = list(loops[:depth])
    if prod(sizes[:depth]) < wanted:
        size = _tile(sizes[-1], prod(sizes[:depth]), cpu, LEAST_PART)
        outer.append(sch.split(loops[-1], [None, size])[0])
    parallel(sch, sch.fuse(*outer), cpu)


def _tile(extent: int, outside: int, cpu: Cpu, least: int = 0) -> int:
    """Return into what parts to cut the innermost loop over points, with so many iterations `outside`.

    At most `TILE`, or `least` if that is given and fewer would be too little for a part; whole vectors if they divide.
    """
    wanted = max(least or cpu.lanes(), min(max(TILE, least), extent * outside // (PARTS_PER_CORE * cpu.cores)))
    if least:
        wanted = max(least, extent * outside // (PARTS_PER_CORE * cpu.cores))
    fitting = [size for size in divisors(extent) if size <= wanted]
    whole = [size for size in fitting if size % cpu.lanes() == 0]
    best = whole[-1] if whole else fitting[-1]
    return best if 2 * best >= min(wanted, extent) or best >= cpu.lanes() else extent


def _loops(sch: Schedule, block: SBlock) -> tuple[list[Loop], list[Loop]]:
    """Return the loops over the points of the result, and those of the reduction."""
    pairs = list(zip(sch.get_loops(block), sch.get(block).iter_vars, strict=False))
    spatial = [loop for loop, axis in pairs if axis.iter_type == SPATIAL]
    return spatial, [loop for loop, axis in pairs if axis.iter_type != SPATIAL]


def _sizes(sch: Schedule, loops: Sequence[Loop]) -> list[int]:
    return [int(sch.get(loop).extent) for loop in loops]


def _reduces(sch: Schedule, block: SBlock) -> bool:
    return any(axis.iter_type == tvm.tirx.IterVar.CommReduce for axis in sch.get(block).iter_vars)


def _spatial_loops(sch: Schedule, block: SBlock) -> list[Loop]:
    loops = sch.get_loops(block)
    axes = sch.get(block).iter_vars
    return [loop for loop, axis in zip(loops, axes, strict=False) if axis.iter_type == tvm.tirx.IterVar.DataPar]
