"""TVM's lowering of scheduled tensor programs, but with sums and tables in registers and weights asked for ahead."""

from __future__ import annotations

from collections.abc import Callable

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule, Pass, PassContext, PrimFunc, Stmt
from dlas_ops.passes.bfloat_products import with_products
from dlas_ops.passes.lanes import LANES, in_lanes
from dlas_ops.passes.matrix_products import MARKED, multiplied
from dlas_ops.passes.permutation import permuted
from dlas_ops.passes.prefetching import prefetched
from dlas_ops.passes.vector_math import vectorized

tirx = tvm.tirx

PIPELINE = "dlas"


def _on_stack(statement: Stmt) -> Stmt:
    """Return `statement` with every buffer of scope "local" marked as a plain stack variable.

    TVM takes buffers of 1 KiB and more from a heap; LLVM can then not keep the sums of a tile in registers.
    """
    match statement:
        # Workaround: TVM 0.27: it takes buffers of 1 KiB and more from a heap; tests/workarounds
        case tirx.AllocBuffer() if statement.buffer.scope() == "local":
            annotations = {**dict(statement.annotations), "disable_lower_builtin": tirx.IntImm("int32", 1)}
            return tirx.AllocBuffer(statement.buffer, annotations)
        case tirx.SeqStmt():
            return tirx.SeqStmt([_on_stack(child) for child in statement.seq])
        case tirx.AttrStmt():
            return tirx.AttrStmt(statement.node, statement.attr_key, statement.value, _on_stack(statement.body))
        case tirx.For():
            return tirx.For(
                statement.loop_var, statement.min, statement.extent, statement.kind, _on_stack(statement.body),
                statement.thread_binding, statement.annotations, statement.step,
            )  # fmt: skip
        case tirx.IfThenElse():
            other = _on_stack(statement.else_case) if statement.else_case is not None else None
            return tirx.IfThenElse(statement.condition, _on_stack(statement.then_case), other)
        case _:
            return statement


def _for_functions(rewrite: Callable[[PrimFunc], PrimFunc]) -> Pass:
    """Return the pass that rewrites every tensor program; it has the function's name."""

    def transform(function: PrimFunc, _module: IRModule, _context: PassContext) -> PrimFunc:
        return rewrite(function)

    return tirx.transform.prim_func_pass(transform, opt_level=0, name=rewrite.__name__)


def sums_on_stack(function: PrimFunc) -> PrimFunc:
    """Return a tensor program that keeps its sums in registers; every buffer has its place by then."""
    return function.with_body(_on_stack(function.body))


def _early() -> Pass:
    """Return TVM's passes from blocks to loops over flat buffers, in its order: those before it makes vectors."""
    s_tir = tvm.s_tir.transform
    return tvm.transform.Sequential(
        [
            s_tir.CanonicalizeLoop(),
            s_tir.LowerInitBlock(),
            s_tir.PlanAndUpdateBufferAllocationLocation(),
            s_tir.ConvertBlocksToOpaque(),
            s_tir.CompactBufferAllocation(),
            s_tir.LowerMatchBuffer(),
            s_tir.StmtSimplify(),
            s_tir.LowerOpaqueBlock(),
            tirx.transform.FlattenBuffer(),
            tirx.transform.NarrowDataType(32),
            s_tir.StmtSimplify(),
        ]
    )


def _loops_replaced(module: IRModule, _context: PassContext) -> IRModule:
    """Return `module` with the programs that ask for it lowered to loops, and these in vectors or in matrices."""
    asking = {
        var: function
        for var, function in module.functions.items()
        if any(mark in (function.attrs or {}) for mark in (LANES, MARKED))
    }
    if not asking:
        return module
    made = tvm.transform.Sequential([_early(), *map(_for_functions, (in_lanes, multiplied))])(tvm.IRModule(asking))
    return tvm.IRModule({**dict(module.functions.items()), **dict(made.functions.items())}, attrs=module.attrs)


def _pipeline() -> tuple[Pass, Callable[[], Pass], Callable[[], Pass]]:
    lower_blocks, finalize_host, finalize_device = tvm.tirx.get_tir_pipeline("s_tir")
    loops_replaced = tvm.transform.module_pass(_loops_replaced, opt_level=0, name="loops_replaced")
    lower = tvm.transform.Sequential([loops_replaced, lower_blocks])

    def finalize() -> Pass:
        own = [_for_functions(rewrite) for rewrite in (sums_on_stack, prefetched, permuted, vectorized, with_products)]
        return tvm.transform.Sequential([*own, finalize_host()])

    return lower, finalize, finalize_device


tvm.tirx.register_tir_pipeline(PIPELINE, _pipeline)
