"""CSR weights and a source of input vectors → loops that sum them, a tile of points at a time held in registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, BufferRegion, Expr, Stmt, Tensor, Var
from dlas_ops.kernels.shared.blocks import Annotations
from dlas_ops.kernels.sparse.csr import Csr
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.steps import BYTES, divisors

te, tirx, s_tir = tvm.te, tvm.tirx, tvm.s_tir

# (buffer of the source, image, block of columns, index in it, tile, vector in the tile) → what it multiplies.
Load = Callable[[Buffer, Expr, Expr, Expr, Expr, int], Expr]

# Per row of a filter, per point of a tile: which of the row's sums is the point's, or -1 for none.
Shifts = Sequence[Sequence[int]]

# Fewer tasks leave cores idle at the end.
TASKS_PER_CORE = 4

# Part of the L1 cache that the inputs may take; the rest is for sums and for weights on their way.
SOURCE_OF_L1 = 0.5

# Part of the L2 cache that the sums of a task may take.
SUMS_OF_L2 = 0.1

# Sums that hide the latency of a multiply-add: its 4 cycles, two of them a cycle.
INDEPENDENT_SUMS = 8


@dataclass(frozen=True)
class Tile:
    """Sums of one task: of `filters`, at `points` of the map, out of `vectors` of `lanes` that are in registers.

    `packed` tells whether the source is (image, tile, place): a tile then reads its own part only.
    """

    filters: int
    vectors: int
    lanes: int
    points: int
    packed: int = 0

    @property
    def summed(self) -> int:
        """Sums in registers."""
        return self.vectors * self.lanes

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Where each vector of the points begins, and its lanes."""
        return [(start, min(self.lanes, self.points - start)) for start in range(0, self.points, self.lanes)]


def filters_of(filters: int, tiles: int, points: int, cpu: Cpu) -> int:
    """Return how many of `filters` one task takes when there are `tiles` of `points` summed."""
    tasks = -(-TASKS_PER_CORE * cpu.cores // tiles)
    held = int(cpu.l2_bytes * SUMS_OF_L2) // (points * BYTES)
    return max(size for size in divisors(filters) if size <= max(1, min(filters // tasks, held)))


def columns_in_cache(size: int, cpu: Cpu) -> int:
    """Return how many columns (or channels) whose inputs take `size` bytes per tile are kept in the L1 cache."""
    return max(1, int(cpu.l1_bytes * SOURCE_OF_L1) // size)


def ramp(base: Expr, lanes: int) -> Expr:
    """Return the index of `lanes` neighbours from `base` on."""
    return tirx.Ramp(base, 1, lanes) if lanes > 1 else base


def splat(value: Expr, lanes: int) -> Expr:
    """Return a vector of `lanes` times `value`."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def pick(vectors: Sequence[Expr], lanes: int, indices: Sequence[int]) -> Expr:
    """Return the elements at `indices` of `vectors`, each of `lanes`, as if they were one; zeros where it is negative.

    Returns
    -------
    A vector as long as `indices`.
    """
    used = sorted({index // lanes for index in indices if index >= 0})
    if list(indices) == list(range(used[0] * lanes, (used[0] + 1) * lanes)):
        return vectors[used[0]]
    picked = [vectors[number] for number in used]
    zero = len(used) * lanes
    if min(indices) < 0:
        picked.append(splat(tirx.const(0.0, "float32"), len(indices)))
    order = [used.index(index // lanes) * lanes + index % lanes if index >= 0 else zero for index in indices]
    return tirx.Shuffle(picked, [tirx.const(index, "int32") for index in order])


def sums_of(
    source: Tensor, weight: Csr, shape: Sequence[int], tile: Tile, load: Load, name: str, shifts: Shifts = (),
    attributes: Annotations | None = None,
) -> Tensor:  # fmt: skip
    """Return the sums (image, filter, point) of CSR `weight` times `source`, which `schedule` may tile otherwise.

    Parameters
    ----------
    load : what a non-zero multiplies
    name : of the algorithm, which schedules
    shifts : for a filter of several rows
    attributes : more annotations of the block
    """
    inputs = [source, *weight]
    return te.extern(
        tuple(shape),
        inputs,
        lambda ins, outs: nest(outs[0], ins, load, tile, 1, name, shifts),
        name=name,
        dtype=[source.dtype],
        in_buffers=[tirx.decl_buffer(tensor.shape, tensor.dtype, tensor.op.name, layout=None) for tensor in inputs],
        out_buffers=[tirx.decl_buffer(shape, source.dtype, name, layout=None)],
        attrs={
            "dlas.schedule": f"{name}/csr",
            "dlas.tile": [int(size) for size in astuple(tile)],
            **(attributes or {}),
        },
    )


def nest(
    sums: Buffer, inputs: Sequence[Buffer], load: Load, tile: Tile, unroll: int, name: str, shifts: Shifts = ()
) -> Stmt:
    """Return loops over images, tiles of points and tasks of filters; a block sums one task's tile."""
    images, filters, points = (int(size) for size in sums.shape)
    sizes = {"n": images, "t": points // tile.points, "f": filters // tile.filters}
    axes = [tirx.Var(f"v{name}", "int32") for name in sizes]
    n, t, f = axes
    reads = [region(inputs[0], *((n, t) if tile.packed else ())), *(region(buffer) for buffer in inputs[1:])]
    written = ((n, 1), (f * tile.filters, tile.filters), (t * tile.points, tile.points))
    write = tirx.BufferRegion(sums, [tvm.ir.Range.from_min_extent(*part) for part in written])
    return blocked(name, sizes, axes, reads, write, _Task(sums, inputs, load, tile, unroll, shifts).body(n, t, f))


def blocked(
    name: str,
    sizes: Mapping[str, int],
    axes: Sequence[Var],
    reads: Sequence[BufferRegion],
    write: BufferRegion,
    body: Stmt,
) -> Stmt:
    """Return loops of `sizes` around a block called `name` that has an axis for each."""
    loops = [tirx.Var(size, "int32") for size in sizes]
    variables = [
        tirx.IterVar(tvm.ir.Range(0, size), axis, tirx.IterVar.DataPar)
        for axis, size in zip(axes, sizes.values(), strict=True)
    ]
    statement = s_tir.SBlockRealize(loops, True, s_tir.SBlock(variables, reads, [write], name, body))
    for variable, size in reversed(list(zip(loops, sizes.values(), strict=True))):
        statement = tirx.For(variable, 0, size, tirx.ForKind.SERIAL, statement)
    return statement


def region(buffer: Buffer, *begin: Expr) -> BufferRegion:
    """Return the region of `buffer` at `begin` in its first axes, one wide, and all of the others."""
    first = [tvm.ir.Range.from_min_extent(place, 1) for place in begin]
    return tirx.BufferRegion(buffer, first + [tvm.ir.Range(0, size) for size in buffer.shape[len(begin) :]])


def loop(count: Expr, statement: Callable[[Stmt], Stmt]) -> Stmt:
    """Return `statement` for each number below `count`."""
    variable = tirx.Var("k", "int32")
    return tirx.For(variable, 0, count, tirx.ForKind.SERIAL, statement(variable))


class _Task:
    """The statements that sum one task: block after block of columns, every filter's sums go to registers and back."""

    def __init__(
        self, sums: Buffer, inputs: Sequence[Buffer], load: Load, tile: Tile, unroll: int, shifts: Shifts
    ) -> None:
        self.sums, self.inputs, self.load, self.tile, self.unroll = sums, inputs, load, tile, unroll
        self.shifts = shifts or [range(tile.points)]
        # Successive non-zeros add to different sums, where one alone would wait for the last addition.
        self.copies = min(unroll, max(1, INDEPENDENT_SUMS // tile.vectors))
        self.filters = int(sums.shape[1])
        self.blocks = (int(inputs[3].shape[0]) - 1) // (self.filters * len(self.shifts))
        self.partial = tirx.decl_buffer((self.copies, tile.summed), sums.dtype, "partial", scope="local")
        self.total = tirx.decl_buffer((tile.points,), sums.dtype, "total", scope="local")

    def body(self, n: Expr, t: Expr, f: Expr) -> Stmt:
        """Return the statements."""
        first, start = f * self.tile.filters, t * self.tile.points

        def filter(b: Expr, i: Expr) -> Stmt:
            def place(point: int, lanes: int) -> list[Expr]:
                return [n, first + i, ramp(start + point, lanes)]

            statements = []
            for point, lanes in self.tile.parts:
                zero = splat(tirx.const(0.0, self.sums.dtype), lanes)
                held = zero if self.blocks == 1 else tirx.Select(b == 0, zero, self.sums[*place(point, lanes)])
                statements.append(tirx.BufferStore(self.total, held, [ramp(point, lanes)]))
            for number in range(len(self.shifts)):
                statements += self.row((b * self.filters + first + i) * len(self.shifts) + number, n, b, t)
                statements += self.add(self.shifts[number])
            for point, lanes in self.tile.parts:
                statements.append(tirx.BufferStore(self.sums, self.total[ramp(point, lanes)], place(point, lanes)))
            return tirx.SeqStmt(statements)

        rows = loop(self.blocks, lambda b: loop(self.tile.filters, lambda i: filter(b, i)))
        return tirx.SeqStmt([tirx.AllocBuffer(self.partial), tirx.AllocBuffer(self.total), rows])

    def row(self, line: Expr, n: Expr, b: Expr, t: Expr) -> list[Stmt]:
        """Return the statements that sum a row's non-zeros, into the first copy of the partial sums."""
        tile, unroll = self.tile, self.unroll
        source, values, indices, pointers = self.inputs
        begin, end = tirx.Var("begin", "int32"), tirx.Var("end", "int32")

        def at(copy: int, v: int) -> list[Expr]:
            return [copy, ramp(v * tile.lanes, tile.lanes)]

        def nonzero(k: Expr, copy: int) -> list[Stmt]:
            value, index = tirx.Var("value", values.dtype), tirx.Var("index", "int32")
            statements = [tirx.Bind(value, values[k]), tirx.Bind(index, indices[k].astype("int32"))]
            for v in range(tile.vectors):
                product = splat(value, tile.lanes) * self.load(source, n, b, index, t, v)
                statements.append(tirx.BufferStore(self.partial, self.partial[*at(copy, v)] + product, at(copy, v)))
            return statements

        def several(k: Expr) -> Stmt:
            first = begin + k * unroll
            return tirx.SeqStmt([s for u in range(unroll) for s in nonzero(first + u, u % self.copies)])

        zero = splat(tirx.const(0.0, self.partial.dtype), tile.lanes)
        places = [at(copy, v) for copy in range(self.copies) for v in range(tile.vectors)]
        rounds = (end - begin) // unroll
        statements = [
            tirx.Bind(begin, pointers[line]),
            tirx.Bind(end, pointers[line + 1]),
            *(tirx.BufferStore(self.partial, zero, place) for place in places),
            loop(rounds, several),
        ]
        if unroll > 1:
            left = begin + rounds * unroll
            statements.append(loop((end - begin) % unroll, lambda k: tirx.SeqStmt(nonzero(left + k, 0))))
        for v in range(tile.vectors if self.copies > 1 else 0):
            total = self.partial[*at(0, v)]
            for copy in range(1, self.copies):
                total = total + self.partial[*at(copy, v)]
            statements.append(tirx.BufferStore(self.partial, total, at(0, v)))
        return statements

    def add(self, shift: Sequence[int]) -> list[Stmt]:
        """Return the statements that add a row's sums to the points that they are for."""
        lanes = self.tile.lanes
        vectors = [self.partial[0, ramp(v * lanes, lanes)] for v in range(self.tile.vectors)]
        statements = []
        for point, size in self.tile.parts:
            wanted = shift[point : point + size]
            if max(wanted) >= 0:
                row = self.partial[0, wanted[0]] if size == 1 else pick(vectors, lanes, wanted)
                place = [ramp(point, size)]
                statements.append(tirx.BufferStore(self.total, self.total[*place] + row, place))
        return statements
