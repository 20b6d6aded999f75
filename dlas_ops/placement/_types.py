"""TVM's classes of the Relax level → the names that `placement` annotates with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from dlas_ops._tvm import tvm

Expr: TypeAlias = tvm.ir.Expr
Var: TypeAlias = tvm.relax.Var
Call: TypeAlias = tvm.relax.Call
Attributes: TypeAlias = tvm.ir.Attrs
DataflowBlock: TypeAlias = tvm.relax.DataflowBlock
Function: TypeAlias = tvm.relax.Function
PrimFunc: TypeAlias = tvm.tirx.PrimFunc
IRModule: TypeAlias = tvm.IRModule
BlockBuilder: TypeAlias = tvm.relax.BlockBuilder
Target: TypeAlias = tvm.target.Target
PassContext: TypeAlias = tvm.transform.PassContext

# Of tensor programs.
Tensor: TypeAlias = tvm.te.Tensor
PrimExpr: TypeAlias = tvm.ir.Expr
Compute: TypeAlias = Callable[..., Tensor]  # tensors → the tensor that a program computes of them

Shape: TypeAlias = tuple[int, ...]

# What NumPy computes with, of any dtype.
Array: TypeAlias = NDArray[Any]


class Emit(Protocol):
    """Adds a call of the tensor program that `compute` builds; see `context.Context.emit`."""

    def __call__(self, compute: Compute, *arguments: Expr, name: str, pattern: int | None = ...) -> Var:
        """Return the variable that holds the result."""
        ...
