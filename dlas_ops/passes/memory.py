"""Compilation of a network, observed → the bytes that its library holds at work: weights, arena and workspaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule, Stmt
from dlas_ops.passes.pipeline import sums_on_stack

tirx, relax = tvm.tirx, tvm.relax

PLANNED = "VMShapeLower"  # TVM's pass after which a network's storages are planned
LAID_OUT = sums_on_stack.__name__  # the pass before which every buffer of a program has its place


@dataclass
class Memory:
    """Bytes that a library allocates; neither its code nor the caller's input counts.

    Attributes
    ----------
    weights : constants of the network
    arena : activations and output, as TVM has planned them: what is dead gives its place to what comes later
    workspace : of the program with the largest temporaries, such as im2col's matrix; TVM keeps it between programs
    thread_workspace : likewise, of each thread
    """

    weights: int = 0
    arena: int = 0
    workspace: int = 0
    thread_workspace: int = 0


@tvm.instrument.pass_instrument
class MemoryInstrument:
    """Fills in `memory` while a network is compiled with this among the instruments."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def run_before_pass(self, module: IRModule, info: Any) -> None:
        """Read the programs' workspaces."""
        if info.name == LAID_OUT:
            for function in module.functions.values():
                shared, own = _workspaces(function.body)
                self.memory.workspace = max(self.memory.workspace, shared)
                self.memory.thread_workspace = max(self.memory.thread_workspace, own)

    def run_after_pass(self, module: IRModule, info: Any) -> None:
        """Read the network's constants and its plan."""
        if info.name == PLANNED:
            self.memory.weights, self.memory.arena = _planned(module["main"])


def _planned(network: Any) -> tuple[int, int]:
    """Return the bytes of a network's constants and of its storages."""
    weights, storages = [], []

    def visit(expression: Any) -> None:
        constant: Any = getattr(expression, "value", None)
        if hasattr(constant, "numpy"):
            weights.append(constant.numpy().nbytes)
        elif isinstance(expression, relax.Call) and getattr(expression.op, "name", "") == "relax.vm.alloc_storage":
            size, _, dtype, *_ = expression.args
            storages.append(int(size.values[0]) * tvm.DataType(dtype.value).itemsize)

    relax.analysis.post_order_visit(network, visit)
    return sum(weights), sum(storages)


def _workspaces(body: Stmt) -> tuple[int, int]:
    """Return the bytes of the buffers that a program allocates, and of those that each of its threads does."""
    found = {False: 0, True: 0}
    for statement, parallel in _statements(body, parallel=False):
        if isinstance(statement, tirx.AllocBuffer) and statement.buffer.scope() != "local":
            elements = 1
            for size in statement.buffer.shape:
                elements *= int(size)
            found[parallel] += elements * tvm.DataType(statement.buffer.dtype).itemsize
    return found[False], found[True]


def _statements(statement: Stmt, *, parallel: bool) -> Iterator[tuple[Stmt, bool]]:
    """Yield all statements below one, and whether each is in a parallel loop."""
    yield statement, parallel
    inside = parallel or (isinstance(statement, tirx.For) and statement.kind == tirx.ForKind.PARALLEL)
    for child in _children(statement):
        yield from _statements(child, parallel=inside)


def _children(statement: Stmt) -> list[Stmt]:
    match statement:
        case tirx.SeqStmt():
            return list(statement.seq)
        case tirx.IfThenElse():
            return [case for case in (statement.then_case, statement.else_case) if case is not None]
        case tirx.AttrStmt() | tirx.For() | tirx.While():
            return [statement.body]
        case _:
            return []
