"""CSR weights and a source of input points → their sums on a GPU, some points of one filter in each thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from math import gcd, prod

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, IRModule, SBlock, Schedule, Stmt, Tensor
from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse import tasks
from dlas_ops.kernels.sparse.csr import Csr
from dlas_ops.kernels.sparse.row_sums import blocked, loop, ramp, region, splat
from dlas_ops.processor.gpus import Gpu
from dlas_ops.schedule.steps import divisors, inline_epilogue
from dlas_ops.schedule.threads import GROUP, THREAD, bind_all, bind_points
from dlas_ops.schedule.tunables import Choice, Space, rule_first

te, tirx = tvm.te, tvm.tirx

# Of points that a thread sums: what it reads of the weights is read once for all of them.
MOST_VECTORS = 14

# Work-groups for each one that runs at once: fewer leave some units idle at the end.
GROUPS_PER_UNIT = 4

# Points that a thread copies where it is alone.
COPIED = 64

# (buffer of the source, image, index, first point, lanes) → what a non-zero multiplies for a vector of points.
Load = Callable[[Buffer, Expr, Expr, Expr, int], Expr]


@dataclass(frozen=True)
class Points:
    """The points of a map: in `tiles` of a work-group, in each `rounds` of `threads` threads, each a vector of `lanes`.

    Threads next to each other sum neighbouring vectors.
    """

    tiles: int
    rounds: int
    threads: int
    lanes: int

    def of(self, tile: Expr, round: int | Expr, thread: Expr) -> Expr:
        """Return the first point of a thread's vector."""
        return ((tile * self.rounds + round) * self.threads + thread) * self.lanes


def points_of(conv: Conv, gpu: Gpu, lanes: int) -> Points:
    """Return how the output points of `conv` are shared out, when `lanes` neighbours are read as one vector.

    A thread has as many vectors as leave enough work-groups for all units, and a filter the threads that run in step.
    Points that are read one by one each take a register more, where to begin.
    """
    pitch = points_innermost.pitch(conv.out_height * conv.out_width, gpu)
    own = min(gpu.lanes(), pitch)
    vectors, lanes = pitch // own, gcd(lanes, own)
    enough = GROUPS_PER_UNIT * gpu.units * gpu.threads / (conv.batch * conv.out_channels)
    most = min(MOST_VECTORS, gpu.sums if lanes == own else gpu.sums // 2)

    def threads(held: int) -> int:
        return max(size for size in divisors(vectors // held) if size <= gpu.threads)

    fit = [size for size in divisors(vectors) if size <= most and vectors // size >= enough]
    held = max((size for size in fit if threads(size) >= gpu.warp), default=1)
    return Points(vectors // held // threads(held), held * own // lanes, threads(held), lanes)


def product_of(conv: Conv, matrix: Tensor, weight: Csr, gpu: Gpu, name: str) -> Tensor:
    """Return CSR `weight` times `matrix`, by image, of rows of points that the indices count."""
    points = points_of(conv, gpu, gpu.lanes())
    pitch = prod(astuple(points))

    def load(held: Buffer, n: Expr, index: Expr, point: Expr, lanes: int) -> Expr:
        # The place counts from the first row on.
        return held[n, 0, ramp(index * pitch + point, lanes)]

    return sums_of(conv, matrix, weight, points, load, name)


def unaligned(held: Buffer, place: Sequence[Expr], lanes: int) -> Expr:
    """Return the vector of `lanes` that begins at a `place` of `held`, wherever that is, by OpenCL's ``vload``."""
    # TVM reads element by element what it cannot prove to begin at a multiple of `lanes`.
    return tirx.call_pure_extern(f"{held.dtype}x{lanes}", f"vload{lanes}", 0, tirx.address_of(held[*place]))


def sums_of(conv: Conv, source: Tensor, weight: Csr, points: Points, load: Load, name: str) -> Tensor:
    """Return the sums of CSR `weight` times `source`, in float32, points innermost.

    Parameters
    ----------
    load : how an index and a vector of points find what they multiply
    name : of the algorithm, which schedules
    """
    inputs = [source, *weight]
    tiles, rounds, threads, lanes = astuple(points)
    shape = (conv.batch, conv.out_channels, tiles, threads, rounds, lanes)
    sums = te.extern(
        shape,
        inputs,
        lambda ins, outs: _nest(outs[0], ins, points, load, name),
        name=name,
        dtype="float32",
        in_buffers=[tirx.decl_buffer(tensor.shape, tensor.dtype, tensor.op.name, layout=None) for tensor in inputs],
        out_buffers=[tirx.decl_buffer(shape, "float32", name, layout=None)],
        attrs={"dlas.schedule": f"{name}/csr", "dlas.points": [*astuple(points)], "dlas.filters": conv.out_channels},
    )

    def output(n: Expr, f: Expr, p: Expr) -> Expr:
        return sums[n, f, *_indices(p, points)]

    return te.compute((*shape[:2], prod(astuple(points))), output, name="output")


def _indices(point: Expr, points: Points) -> list[Expr]:
    """Return the tile, thread, round and lane that sum `point`."""
    vector = point // points.lanes
    round = vector // points.threads
    return [round // points.rounds, vector % points.threads, round % points.rounds, point % points.lanes]


def _nest(sums: Buffer, inputs: Sequence[Buffer], points: Points, load: Load, name: str) -> Stmt:
    """Return loops over images, tiles, filters and threads; a block sums the points of one thread."""
    images, filters = (int(size) for size in sums.shape[:2])
    sizes = {"n": images, "t": points.tiles, "f": filters, "p": points.threads}
    axes = n, t, f, p = [tirx.Var(f"v{size}", "int32") for size in sizes]
    source, values, indices, pointers = inputs
    reads = [region(source, n), region(values), region(indices), region(pointers)]
    begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")

    def at(number: int) -> list[Expr]:
        return [n, f, t, p, number, ramp(0, points.lanes)]

    def nonzero(k: Expr) -> Stmt:
        value, index = tirx.Var("value", "float32"), tirx.Var("index", "int32")
        held = values[begin + k].astype("float32"), indices[begin + k].astype("int32")
        statements = [tirx.Bind(value, held[0]), tirx.Bind(index, held[1])]
        for number in range(points.rounds):
            operand = load(source, n, index, points.of(t, number, p), points.lanes)
            operand = operand.astype("float32" if points.lanes == 1 else f"float32x{points.lanes}")
            total = sums[*at(number)] + splat(value, points.lanes) * operand
            statements.append(tirx.BufferStore(sums, total, at(number)))
        return tirx.SeqStmt(statements)

    zero = splat(tirx.const(0.0, "float32"), points.lanes)
    body = tirx.SeqStmt(
        [
            tirx.Bind(begin, pointers[f]),
            tirx.Bind(end, pointers[f + 1]),
            *(tirx.BufferStore(sums, zero, at(number)) for number in range(points.rounds)),
            loop(end - begin, nonzero),
        ]
    )
    thread = [tvm.ir.Range.from_min_extent(axis, 1) for axis in (n, f, t, p)]
    written = tirx.BufferRegion(sums, [*thread, tvm.ir.Range(0, points.rounds), tvm.ir.Range(0, points.lanes)])
    return blocked(name, sizes, axes, reads, written, body)


def tunables(sch: Schedule, block: SBlock, gpu: Gpu) -> Space:
    """Return the choices of `schedule`: ``filters`` are the filters of a work-group, by rule as many as it can have."""
    most = gpu.threads // _points(sch, block).threads
    fit = [size for size in divisors(int(sch.get(block).annotations["dlas.filters"])) if size <= most]
    return {"filters": rule_first(fit[-1], fit)}


def schedule(sch: Schedule, block: SBlock, gpu: Gpu, choice: Choice) -> None:
    """Sum some points of a filter in the registers of each thread and run the epilogue there.

    A work-group has the threads of one filter's points or, where these are few, of several filters'. What is copied
    before is a kernel of its own.
    """
    points = _points(sch, block)
    place = next(place for place, child in enumerate(_children(sch)) if sch.get(child).same_as(sch.get(block)))
    tasks.unwrap(sch, block)
    block = _children(sch)[place]
    last, rest = inline_epilogue(sch, sch.get_consumers(block)[0], block)
    for copy in _copies(sch, block):
        _bind(sch, copy, gpu)
    sch.transform_block_layout(last, lambda n, f, p: (n, f, *_indices(p, points)))
    n, t, f, p = sch.get_loops(block)
    outer, inner = sch.split(f, [None, choice["filters"]])
    group, thread = sch.fuse(n, t, outer), sch.fuse(inner, p)
    sch.bind(group, GROUP)
    sch.bind(thread, THREAD)
    sch.set_scope(block, 0, "local")
    sch.reverse_compute_at(last, thread, preserve_unit_loops=True)
    *_, rounds, lanes = sch.get_loops(last)
    sch.vectorize(lanes)
    sch.unroll(rounds)
    if rest is not None:
        bind_all(sch, rest, gpu)


def _points(sch: Schedule, block: SBlock) -> Points:
    """Return the points that the sums of `block` were defined with."""
    return Points(*(int(size) for size in sch.get(block).annotations["dlas.points"]))


def _children(sch: Schedule) -> list[SBlock]:
    """Return the blocks of the whole program, in order."""
    return [*sch.get_child_blocks(sch.get_sblock("root"))]


def _copies(sch: Schedule, block: SBlock) -> list[SBlock]:
    """Return what `block` reads that is computed before, its own inputs inlined."""
    copies = list(sch.get_producers(block))
    for copy in copies:
        while inputs := sch.get_producers(copy):
            sch.compute_inline(inputs[0])
    return copies


def _bind(sch: Schedule, copy: SBlock, gpu: Gpu) -> None:
    """Run `copy` with a point in each thread or, where a work-group is a thread alone, several neighbours."""
    *outer, inner = sch.get_loops(copy)
    if gpu.threads == 1:
        inner, _ = sch.split(inner, [None, COPIED])
    bind_points(sch, [*outer, inner], gpu)


def simplified(module: IRModule) -> IRModule:
    """Return a scheduled `module` whose threads index the registers of their own sums only, by 32 bits.

    TVM narrows no index that is read from memory, as it may be beyond 32 bits.
    """
    narrow, simplify = tirx.transform.ForceNarrowIndexToInt32(), tirx.transform.StmtSimplify()
    return narrow(simplify(module))
