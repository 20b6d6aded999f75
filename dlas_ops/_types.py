"""TVM's classes → the names that annotations use; importing this module loads no TVM.

TVM ships no type information, so a type checker takes each of them for anything: they tell the reader what a thing is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

if TYPE_CHECKING:
    import tvm

# Programs: a network with its functions, one tensor program, and what stands in the body of one.
IRModule: TypeAlias = "tvm.IRModule"
PrimFunc: TypeAlias = "tvm.tirx.PrimFunc"
Stmt: TypeAlias = "tvm.tirx.Stmt"
For: TypeAlias = "tvm.tirx.For"
Block: TypeAlias = "tvm.s_tir.SBlock"
Var: TypeAlias = "tvm.tirx.Var"
Buffer: TypeAlias = "tvm.tirx.Buffer"
BufferLoad: TypeAlias = "tvm.ir.TensorLoad"
BufferRegion: TypeAlias = "tvm.tirx.BufferRegion"

# In a tensor program, an index, a condition or the value of one element; in a network, a tensor.
Expr: TypeAlias = "tvm.ir.Expr"
# A tensor of an operator's computation, an axis that it reduces over, and the computation: tensors → the one computed.
Tensor: TypeAlias = "tvm.te.Tensor"
IterVar: TypeAlias = "tvm.tirx.IterVar"
Compute: TypeAlias = Callable[..., Tensor]

# A schedule, and its handles of a block and of a loop.
Schedule: TypeAlias = "tvm.s_tir.Schedule"
SBlock: TypeAlias = "tvm.s_tir.schedule.SBlockRV"
Loop: TypeAlias = "tvm.s_tir.schedule.LoopRV"

# The parts of a network, which TVM calls Relax: a function, its operators in order, one of them, and their builder.
Function: TypeAlias = "tvm.relax.Function"
DataflowBlock: TypeAlias = "tvm.relax.DataflowBlock"
Call: TypeAlias = "tvm.relax.Call"
Attributes: TypeAlias = "tvm.ir.Attrs"
BlockBuilder: TypeAlias = "tvm.relax.BlockBuilder"

# The shape of a tensor, and an array of any dtype.
Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = NDArray[Any]

# Where programs run, what is compiled for it, and the arrays there.
Target: TypeAlias = "tvm.target.Target"
Library: TypeAlias = "tvm.runtime.Executable"
Device: TypeAlias = "tvm.runtime.Device"
DeviceArray: TypeAlias = "tvm.runtime.Tensor"

# A step of a lowering, and the options that it runs with.
Pass: TypeAlias = "tvm.transform.Pass"
PassContext: TypeAlias = "tvm.transform.PassContext"

# TVM's module of tensor expressions' operations, and that of the functions that build a program.
Tirx: TypeAlias = "tvm.tirx"
ScriptBuilder: TypeAlias = "tvm.tirx.script.builder"

# MetaSchedule's parts.
TuneContext: TypeAlias = "tvm.s_tir.meta_schedule.TuneContext"
SpaceGenerator: TypeAlias = "tvm.s_tir.meta_schedule.SpaceGenerator"
SearchStrategy: TypeAlias = "tvm.s_tir.meta_schedule.SearchStrategy"
ScheduleRule: TypeAlias = "tvm.s_tir.meta_schedule.ScheduleRule"
Postproc: TypeAlias = "tvm.s_tir.meta_schedule.Postproc"
MeasureCandidate: TypeAlias = "tvm.s_tir.meta_schedule.MeasureCandidate"
Instruction: TypeAlias = "tvm.s_tir.schedule.Instruction"
