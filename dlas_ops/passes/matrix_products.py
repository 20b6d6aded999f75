"""Program lowered to loops, not yet to vectors → the same, its marked loops as instructions that multiply matrices.

`schedule.matrix_tiles` marks the loops of a tile: those over its points, channels and the values that one instruction
adds become a call; the sums, zero at first, stay in registers through all of the reduction and are stored behind it.
The loop around all tiles begins and ends with the processor's matrices in each of its iterations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Buffer, Expr, For, PrimFunc, Stmt
from dlas_ops.passes.loops import found_in, step_of, substituted, uses, with_body
from dlas_ops.processor import matrix
from dlas_ops.schedule import matrix_tiles
from dlas_ops.schedule.matrix_tiles import COLUMNS, GROUPS, LANES, ROWS, VALUES, VECTORS
from dlas_ops.schedule.matrix_tiling import in_matrices
from dlas_ops.schedule.steps import MATRIX_LOOP

tirx = tvm.tirx

# On a tensor program: it has marked loops.
MARKED = "dlas.matrix_products"


def marked(function: PrimFunc) -> PrimFunc:
    """Return `function` with the attribute `MARKED` if it has loops of matrices."""
    return function.with_attr(MARKED, 1) if _is_marked(function.body) else function


def multiplied(function: PrimFunc) -> PrimFunc:
    """Return `function` with the processor's instructions in the place of its marked loops."""
    if MARKED not in (function.attrs or {}):
        return function
    tile = _Tile(function.body)
    body = tvm_ffi.structural_map(_configured(function.body, tile), (tirx.For, tile.replaced))
    text = tvm.ir.StringImm(matrix.definitions(tile.sizes))
    body = tirx.AttrStmt(tirx.const(0, "int32"), "pragma_import_llvm", text, body)
    return function.with_body(body)


def _role(loop: For) -> str:
    return str(loop.annotations.get(MATRIX_LOOP, ""))


def _is_marked(statement: Stmt) -> bool:
    return any(_role(loop) for loop in found_in(statement, tirx.For))


def _configured(statement: Stmt, tile: _Tile) -> Stmt:
    """Return `statement` whose outermost loop around marked ones begins and ends with matrices in each iteration.

    Where a tile is all that there is, no loop is around it.
    """
    match statement:
        case tirx.SeqStmt() if any(isinstance(child, tirx.For) and _role(child) for child in statement.seq):
            return tirx.SeqStmt([tile.call(matrix.BEGIN), *statement.seq, tile.call(matrix.END)])
        case tirx.SeqStmt():
            return tirx.SeqStmt([_configured(child, tile) for child in statement.seq])
        case tirx.AttrStmt():
            inside = _configured(statement.body, tile)
            return tirx.AttrStmt(statement.node, statement.attr_key, statement.value, inside)
        case tirx.IfThenElse():  # of a program that evicts the caches in turns
            other = statement.else_case
            inside = _configured(statement.then_case, tile)
            return tirx.IfThenElse(statement.condition, inside, None if other is None else _configured(other, tile))
        case tirx.For() if _is_marked(statement):
            return with_body(statement, tirx.SeqStmt([tile.call(matrix.BEGIN), statement.body, tile.call(matrix.END)]))
        case _ if _is_marked(statement):
            raise ValueError(f"a statement of kind {type(statement).__name__} is around a tile of matrices")
        case _:
            return statement


class _Operand(NamedTuple):
    """A flat buffer that a tile reads or adds to, and the index into it by the variables of the loops."""

    buffer: Buffer
    index: Expr

    def in_bytes(self, elements: Expr | int) -> Expr:
        """Return how many bytes so many elements take, as 64 bits."""
        return tirx.Cast("int64", elements) * (tvm.DataType(str(self.buffer.dtype)).bits // 8)


class _Tile:
    """A tile, read off its marked loops, and the calls that it becomes."""

    def __init__(self, body: Stmt) -> None:
        self.loops = {_role(loop): loop for loop in found_in(body, tirx.For)}
        [store] = found_in(self.loops[ROWS], tirx.BufferStore)
        self.sums = _Operand(store.buffer, store.indices[0])
        read = [load for load in found_in(store.value, tvm.ir.TensorLoad) if not load.source.same_as(store.buffer)]
        lane = self.loops[LANES].loop_var
        [self.data] = [_Operand(load.source, load.indices[0]) for load in read if not uses(load.indices[0], lane)]
        [self.weights] = [_Operand(load.source, load.indices[0]) for load in read if uses(load.indices[0], lane)]
        height, self.width = self._extent(ROWS), self._extent(COLUMNS)
        joined = all(self._step(each, ROWS) == self.width * self._point(each) for each in (self.data, self.sums))
        vectors, groups = self._extent(VECTORS), self._extent(GROUPS)
        # Rows that follow each other may still fill matrices of the same size only one by one.
        ways = [in_matrices(height, self.width, together) for together in ((True, False) if joined else (False,))]
        held = next((way for way in ways if way and matrix.fits(way[0], vectors)), None)
        if held is None:
            raise ValueError(f"no matrices hold {height} x {self.width} points by {vectors} vectors")
        self.sizes = matrix.Sizes(str(self.weights.buffer.dtype), held[0], vectors, held[1], groups)
        self._check()

    def call(self, step: str, *arguments: Expr) -> Stmt:
        """Return the call of a function of `matrix.definitions`."""
        return tirx.Evaluate(tirx.call_extern("int32", matrix.function(step, self.sizes), *arguments))

    def replaced(self, loop: For) -> Stmt:
        """Return what stands in the place of `loop`, if it is marked; loops in it come before it."""
        match _role(loop):
            case matrix_tiles.ZERO:
                return self.call(matrix.ZERO)
            case matrix_tiles.ROWS:
                data = self._operands(self.data, self._point(self.data), self._points(self.data))
                vectors = [number * self._step(self.weights, VECTORS) for number in range(self.sizes.vectors)]
                weights = self._operands(self.weights, self._step(self.weights, GROUPS), vectors)
                return self.call(matrix.MULTIPLY, *data, *weights)
            case matrix_tiles.SUMS:
                vectors = [number * self._step(self.sums, VECTORS) for number in range(self.sizes.vectors)]
                places = [point + vector for point in self._points(self.sums) for vector in vectors]
                store = self.call(matrix.STORE, *self._operands(self.sums, self._point(self.sums), places))
                plain = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, loop.body)
                return tirx.SeqStmt([plain, store])
            case _:
                return loop

    def _operands(self, operand: _Operand, row: int, places: Sequence[int]) -> list[Expr]:
        """Return the arguments for matrices of `operand` at these places of the tile: memory, row by row, offsets."""
        variables = [self.loops[role].loop_var for role in matrix_tiles.ROLES]
        inside = [(variable, tirx.const(0, variable.ty.dtype)) for variable in variables]
        begin = tvm.sym.Analyzer().simplify(substituted(operand.index, inside))
        offsets = [operand.in_bytes(begin + place) for place in places]
        return [operand.buffer.data, operand.in_bytes(tirx.const(row, "int64")), *offsets]

    def _points(self, operand: _Operand) -> list[int]:
        """Return where in a tile of `operand` its matrices begin."""
        down, right = self._step(operand, ROWS), self._point(operand)
        first = [number * self.sizes.rows for number in range(self.sizes.points)]
        return [point // self.width * down + point % self.width * right for point in first]

    def _point(self, operand: _Operand) -> int:
        """Return how many elements of `operand` lie from one point of a matrix to the next."""
        return self._step(operand, COLUMNS if self.width > 1 else ROWS)

    def _extent(self, role: str) -> int:
        return int(self.loops[role].extent)

    def _step(self, operand: _Operand, role: str) -> int:
        """Return how many elements of `operand` lie from one iteration of a loop to the next."""
        step = step_of(operand.index, self.loops[role].loop_var)
        if step is None:
            raise ValueError(f"{operand.index} does not grow evenly along the {role} of a tile")
        return step

    def _check(self) -> None:
        """Compare the layouts with what the instructions read: rows of 64 bytes, groups of values that lie together."""
        values = self._extent(VALUES)
        expected = [
            (self.data, GROUPS, values), (self.data, VALUES, 1), (self.data, VECTORS, 0), (self.weights, LANES, values),
            (self.weights, VALUES, 1), (self.weights, ROWS, 0), (self.weights, COLUMNS, 0), (self.sums, LANES, 1),
        ]  # fmt: skip
        for operand, role, step in expected:
            if self._extent(role) > 1 and self._step(operand, role) != step:
                raise ValueError(
                    f"{operand.index} grows by {self._step(operand, role)} along the {role}, not by {step}"
                )
