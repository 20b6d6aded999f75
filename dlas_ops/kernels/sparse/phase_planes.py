"""A convolution's input → planes that its outputs are summed on: whole vectors, one plane per phase of the stride."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, Stmt, Tensor, Var
from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse.row_sums import INDEPENDENT_SUMS, Shifts, blocked, loop, pick, ramp, region, splat
from dlas_ops.processor.cpus import Cpu
from dlas_ops.schedule.steps import BYTES, divisors

te, tirx = tvm.te, tvm.tirx

Key = TypeVar("Key", int, tuple[int, int])

# On the block around the loops that split the input.
SPLIT = "dlas.split"

# Of sums in registers: a non-zero costs little beside them, and more are no gain.
MOST_VECTORS = 16

# The cost of a non-zero beside the vectors that it multiplies, and of a vector out of the L2 cache, both in
# vectors out of the L1 cache.
NONZERO_COST = 1.5
L2_COST = 1.4


@dataclass(frozen=True)
class Planes:
    """How the sums of a tile of outputs lie on planes of the input; a channel has one plane per phase of the stride.

    Attributes
    ----------
    vectors, lanes : of the sums in registers
    points : outputs that a tile covers
    tiles : of the map
    phases : those of the stride, (row, column), that the kernel reads
    row : elements of what an index counts, a plane of a tile or a row of it
    pitch : elements from one row of a plane to the next
    rows, columns : of a plane in a tile that have inputs
    first : row and column of the first tile in the planes
    step : rows and columns of outputs from one tile to the next
    across : tiles beside each other
    row_of_tap : how many rows into a channel a kernel position begins to read
    shift_of_tap : which of a filter's rows in the sparse matrix a kernel position belongs to, or -1 for none
    shifts : see `rows.Shifts`
    in_place : whether an input with points innermost is such planes as it is
    """

    vectors: int
    lanes: int
    points: int
    tiles: int
    phases: list[tuple[int, int]]
    row: int
    pitch: int
    rows: int
    columns: int
    first: tuple[int, int]
    step: tuple[int, int]
    across: int
    row_of_tap: list[list[int]]
    shift_of_tap: list[list[int]]
    shifts: Shifts
    in_place: bool

    @property
    def plane(self) -> int:
        """Elements of a plane in a tile, whole vectors."""
        return -(-self.rows * self.pitch // self.row) * self.row

    @property
    def rows_of_channel(self) -> int:
        """How many indices a channel takes."""
        return len(self.phases) * self.plane // self.row


def planes_of(conv: Conv, cpu: Cpu) -> Planes:
    """Return the planes of `conv`; a tile is a map that fits the registers, else some of its rows or a part of one."""
    most = min(MOST_VECTORS, cpu.vector_registers - 2) * cpu.lanes()
    taps = _Taps(conv)
    count = points_innermost.pitch(taps.height * taps.width, cpu)
    if conv.is_pointwise:
        return _pointwise(count, most, cpu)
    rows_are_vectors = taps.width % cpu.lanes() == 0 and count > INDEPENDENT_SUMS * cpu.lanes()
    if count <= most and not rows_are_vectors:
        return _map(conv, taps, count, cpu)
    if -(-taps.width // cpu.lanes()) * cpu.lanes() <= most:
        return _bands(conv, taps, most, cpu)
    return _part_of_row(conv, taps, most, cpu)


class _Taps:
    """Where kernel rows and columns read: (planes further on, phase of the stride), and how large the planes are."""

    def __init__(self, conv: Conv) -> None:
        self.down, self.right = (
            [divmod(k * conv.dilation[axis] - conv.padding[axis], conv.stride[axis]) for k in range(conv.kernel[axis])]
            for axis in (0, 1)
        )
        self.height, self.width = -(-conv.height // conv.stride[0]), -(-conv.width // conv.stride[1])
        self.phases = sorted({(y, x) for (_, y), (_, x) in product(self.down, self.right)})
        self.top, self.left = min(self.down)[0], min(self.right)[0]
        self.span = max(self.down)[0] - self.top, max(self.right)[0] - self.left

    def table(self, value: Callable[[int, int, int], Key]) -> list[list[Key]]:
        """Return value(rows down, columns right, phase) of every kernel position."""
        return [[value(down, right, self.phases.index((y, x))) for right, x in self.right] for down, y in self.down]


def _pointwise(count: int, most: int, cpu: Cpu) -> Planes:
    """Return a tile of any `count` points, whatever their rows."""
    lanes = min(cpu.lanes(), count)
    size = lanes * max(vectors for vectors in divisors(count // lanes) if vectors * lanes <= most)
    return Planes(
        size // lanes, lanes, size, count // size, [(0, 0)], count, count, 1, size, (0, 0), (0, size), count // size,
        [[0]], [[0]], [], in_place=True,
    )  # fmt: skip


def _map(conv: Conv, taps: _Taps, count: int, cpu: Cpu) -> Planes:
    """Return a tile of the whole map, whose sums move by rows and columns."""
    lanes, size = min(cpu.lanes(), count), points_innermost.pitch(conv.out_height * conv.out_width, cpu)

    def shift(down: int, right: int) -> list[int]:
        found = [-1] * size
        for row, column in product(range(conv.out_height), range(conv.out_width)):
            if 0 <= row + down < taps.height and 0 <= column + right < taps.width:
                found[row * conv.out_width + column] = (row + down) * taps.width + column + right
        return found

    shifts, shift_of_tap = _numbered(taps.table(lambda down, right, _: (down, right)), lambda key: shift(*key))
    return Planes(
        count // lanes, lanes, size, 1, taps.phases, count, taps.width, taps.height, taps.width, (0, 0), (0, 0), 1,
        taps.table(lambda down, right, phase: phase), shift_of_tap, shifts, in_place=conv.stride == (1, 1),
    )  # fmt: skip


def _bands(conv: Conv, taps: _Taps, most: int, cpu: Cpu) -> Planes:
    """Return a tile of as many rows as cost least per row; sums move by columns, rows are found by their index."""
    lanes, width = cpu.lanes(), conv.out_width
    pitch = -(-taps.width // lanes) * lanes
    whole = points_innermost.pitch(conv.out_height * width, cpu)

    def cost(band: int) -> float:
        size = conv.in_channels * len(taps.phases) * (band + taps.span[0]) * pitch * BYTES
        vector = 1.0 if size <= cpu.l1_bytes else L2_COST
        tiles = conv.batch * -(-whole // (band * width))
        turns = -(-tiles // cpu.cores) if tiles >= cpu.cores else tiles / cpu.cores
        return turns * (band * pitch / lanes + NONZERO_COST) * vector

    band = min(range(1, min(conv.out_height, most // pitch) + 1), key=cost)

    def shift(right: int) -> list[int]:
        found = [-1] * (band * width)
        for row, column in product(range(band), range(width)):
            if 0 <= column + right < taps.width:
                found[row * width + column] = row * pitch + column + right
        return found

    shifts, shift_of_tap = _numbered(taps.table(lambda down, right, phase: right), shift)
    return Planes(
        band * pitch // lanes, lanes, band * width, -(-whole // (band * width)), taps.phases, pitch, pitch,
        band + taps.span[0], taps.width, (taps.top, 0), (band, 0), 1, _rows(taps, band), shift_of_tap, shifts, False,
    )  # fmt: skip


def _part_of_row(conv: Conv, taps: _Taps, most: int, cpu: Cpu) -> Planes:
    """Return a tile of a part of a row, with what lies beside it."""
    lanes = cpu.lanes()
    fitting = [size for size in divisors(conv.out_width) if size + taps.span[1] <= most]
    columns = max(fitting, default=1)
    pitch = -(-(columns + taps.span[1]) // lanes) * lanes
    tiles = -(-points_innermost.pitch(conv.out_height * conv.out_width, cpu) // columns)
    shifts, shift_of_tap = _numbered(
        taps.table(lambda down, right, phase: right - taps.left), lambda right: range(right, right + columns)
    )
    return Planes(
        pitch // lanes, lanes, columns, tiles, taps.phases, pitch, pitch, 1 + taps.span[0], pitch,
        (taps.top, taps.left), (1, columns), conv.out_width // columns, _rows(taps, 1), shift_of_tap, shifts, False,
    )  # fmt: skip


def _rows(taps: _Taps, band: int) -> list[list[int]]:
    """Return which of a channel's rows in a tile of `band` a kernel position reads first."""
    return taps.table(lambda down, right, phase: phase * (band + taps.span[0]) + down - taps.top)


def _numbered(keys: list[list[Key]], shift: Callable[[Key], Sequence[int]]) -> tuple[Shifts, list[list[int]]]:
    """Return the shifts of distinct `keys` and which one each key has: -1 where every sum would leave the map."""
    shifts = {key: shift(key) for key in sorted({key for row in keys for key in row})}
    kept = [key for key, found in shifts.items() if max(found) >= 0] or list(shifts)[:1]
    numbers = [[kept.index(key) if key in kept and max(shifts[key]) >= 0 else -1 for key in row] for row in keys]
    return [shifts[key] for key in kept], numbers


def split(conv: Conv, data: Tensor, planes: Planes) -> Tensor:
    """Return `data`, NCHW or with points innermost, as (image, tile, place): channels of planes of rows, and zeros."""
    channel = len(planes.phases) * planes.plane
    shape = (conv.batch, planes.tiles, conv.in_channels * channel)

    def nest(source: Buffer, result: Buffer) -> Stmt:
        axes = [tirx.Var(f"v{name}", "int32") for name in "ntc"]
        n, t, c = axes
        written = ((n, 1), (t, 1), (c * channel, channel))
        write = tirx.BufferRegion(result, [tvm.ir.Range.from_min_extent(*part) for part in written])
        body = _Channel(conv, planes, source, result, axes).statement()
        sizes = {"n": conv.batch, "t": planes.tiles, "c": conv.in_channels}
        return blocked("planes", sizes, axes, [region(source, n, c)], write, body)

    return te.extern(
        shape,
        [data],
        lambda ins, outs: nest(ins[0], outs[0]),
        name="planes",
        attrs={SPLIT: 1},
        dtype=[data.dtype],
        in_buffers=[tirx.decl_buffer(data.shape, data.dtype, "source", layout=None)],
        out_buffers=[tirx.decl_buffer(shape, data.dtype, "planes", layout=None)],
    )


class _Channel:
    """The statements that copy one channel's part in a tile, phases of the stride apart, in whole vectors."""

    def __init__(self, conv: Conv, planes: Planes, source: Buffer, result: Buffer, axes: Sequence[Var]) -> None:
        self.conv, self.planes, self.source, self.result = conv, planes, source, result
        self.n, self.t, self.c = axes

    def statement(self) -> Stmt:
        """Return the copy."""
        planes, step, first = self.planes, self.conv.stride[0], self.c * (len(self.planes.phases) * self.planes.plane)
        top = self.t // planes.across * planes.step[0] + planes.first[0]
        filled = planes.rows * planes.pitch
        statements = []
        for y in sorted({y for y, _ in planes.phases}):
            starts = {x: first + i * planes.plane for i, (down, x) in enumerate(planes.phases) if down == y}

            def copy(r: Expr, y: int = y, starts: dict[int, Expr] = starts) -> Stmt:
                row, places = (top + r) * step + y, {x: start + r * planes.pitch for x, start in starts.items()}
                if planes.across > 1:
                    return self.part(row, places)
                inside = tirx.all(row >= 0, row < self.conv.height)
                return tirx.IfThenElse(inside, self.row(row, places, True), self.row(row, places, False))

            statements.append(loop(planes.rows, copy))
            if planes.plane > filled:
                statements += [self.store(start + filled, planes.plane - filled) for start in starts.values()]
        return tirx.SeqStmt(statements) if len(statements) > 1 else statements[0]

    def row(self, row: Expr, places: dict[int, Expr], inside: bool) -> Stmt:
        """Return the copy of a row of the input to its places in the planes, by column phase; or of zeros."""
        planes, step, statements = self.planes, self.conv.stride[1], []
        for first in range(0, planes.pitch, planes.lanes):
            size = min(planes.lanes, planes.pitch - first)
            held = max(0, min(step * size, self.conv.width - step * first)) if inside else 0
            for phase, place in places.items():
                wanted = [i if i < held else -1 for i in range(phase, phase + step * size, step)]
                if wanted[0] < 0:
                    value = None
                elif size == 1:
                    value = self.read(row, step * first + phase, 1)
                else:
                    value = pick([self.read(row, step * first, held)], held, wanted)
                statements.append(self.store(place + first, size, value))
        return tirx.SeqStmt(statements) if len(statements) > 1 else statements[0]

    def part(self, row: Expr, places: dict[int, Expr]) -> Stmt:
        """Return the copy of a part of a row, one element after the other, with zeros beside the map."""
        planes, step = self.planes, self.conv.stride[1]
        left = self.t % planes.across * planes.step[1] + planes.first[1]

        def copy(i: Expr) -> Stmt:
            statements = []
            for phase, place in places.items():
                column = (left + i) * step + phase
                inside = tirx.all(row >= 0, row < self.conv.height, column >= 0, column < self.conv.width)
                value = tirx.if_then_else(inside, self.read(row, column, 1), tirx.const(0.0, self.result.dtype))
                statements.append(self.store(place + i, 1, value))
            return tirx.SeqStmt(statements) if len(statements) > 1 else statements[0]

        return loop(planes.pitch, copy)

    def read(self, row: Expr, column: Expr, size: int) -> Expr:
        if len(self.source.shape) == 3:
            return self.source[self.n, self.c, ramp(row * self.conv.width + column, size)]
        return self.source[self.n, self.c, row, ramp(column, size)]

    def store(self, place: Expr, size: int, value: Expr | None = None) -> Stmt:
        value = splat(tirx.const(0.0, self.result.dtype), size) if value is None else value
        return tirx.BufferStore(self.result, value, [self.n, self.t, ramp(place, size)])
