"""Network → the same, but it notes the time before its first tensor program and after each of them.

So each program is timed where the network runs it: after the one before it, with the caches as that has left them. A
network's time evaluator tells nothing of the parts, and one program run over and over finds its weights in the caches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule, Pass, PassContext, PrimFunc

relax, tirx = tvm.relax, tvm.tirx

TICK = "dlas_tick"
MONOTONIC = 1  # the clock's number in the C library of Linux, on every processor
FIELDS = 2  # of a time, as the C library writes it: seconds and nanoseconds


@dataclass(frozen=True)
class Call:
    """One call of a tensor program in a network.

    Attributes
    ----------
    program : its name
    constant_bytes, activation_bytes : of the network's constants that it reads, and of the other tensors that it reads
        and writes
    output : shape of what it writes
    """

    program: str
    constant_bytes: int
    activation_bytes: int
    output: tuple[int, ...]


def ticking(runs: int, calls: list[Call]) -> Pass:
    """Return the pass that makes the function ``main`` note times; it goes behind TVM's passes over Relax.

    ``main`` takes one more argument, the notes: int64 of the size `notes_size`, all zero before the first run. They
    hold the last `runs` runs, the oldest of them overwritten. `calls` is filled in with the calls between the ticks.
    """

    def transform(module: IRModule, _context: PassContext) -> IRModule:
        variable = module.get_global_var("main")
        main = module[variable]
        calls[:] = [_call(binding.value) for binding in _bindings(main) if _is_program(binding.value)]
        result = tvm.IRModule(dict(module.functions.items()), attrs=module.attrs, global_infos=module.global_infos)
        result.update(tvm.IRModule({TICK: _tick(runs, len(calls) + 1)}))
        result[variable] = _with_ticks(main, result.get_global_var(TICK), notes_size(len(calls), runs))
        return result

    return tvm.transform.module_pass(transform, opt_level=0, name="ticking")


def notes_size(calls: int, runs: int) -> int:
    """Return how many int64 the notes of a network of so many calls have."""
    return FIELDS * (1 + runs * (calls + 1))


def elapsed_ns(notes: NDArray[np.int64], calls: int, runs: int, last: int) -> NDArray[np.int64]:
    """Return what each call took in each of the `last` runs, at most `runs`, in ns: (last, calls).

    Raises
    ------
    ValueError
        If the network has run less often.
    """
    count = int(notes[0])
    if not last <= min(count, runs):
        raise ValueError(f"of {count} runs the notes hold at most {runs}, and not {last}")
    rows = notes[FIELDS:].reshape(runs, calls + 1, FIELDS)
    times = rows[[run % runs for run in range(count - last, count)]]
    return np.diff(times[..., 0] * 1_000_000_000 + times[..., 1], axis=1)


def _bindings(main: Any) -> list[Any]:
    return [binding for block in main.body.blocks for binding in block.bindings]


def _is_program(value: Any) -> bool:
    return isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.GlobalVar)


def _call(value: Any) -> Call:
    constants = sum(argument.value.numpy().nbytes for argument in value.args if hasattr(argument, "value"))
    tensors = [argument.ty for argument in value.args if not hasattr(argument, "value")]
    shapes = [tuple(int(size) for size in tensor.shape) for tensor in tensors]
    sizes = [tvm.DataType(str(tensor.dtype)).itemsize for tensor in tensors]
    read_and_written = sum(int(np.prod(shape)) * size for shape, size in zip(shapes, sizes, strict=True))
    return Call(str(value.op.name_hint), constants, read_and_written, shapes[-1])


def _with_ticks(main: Any, tick: Any, size: int) -> Any:
    """Return the network with the notes as its last parameter, and a tick before the first call and after each."""
    notes = relax.Var("notes", relax.TensorType((size,), "int64"))
    bindings: list[Any] = []
    ticks = 0

    def add_tick() -> None:
        nonlocal ticks
        call = relax.Call(tick, [notes, tirx.IntImm("int64", ticks)], ty_args=[relax.TupleType([])])
        bindings.append(relax.VarBinding(relax.Var(f"tick{ticks}", relax.TupleType([])), call))
        ticks += 1

    for binding in _bindings(main):
        program = _is_program(binding.value)
        if program and not ticks:
            add_tick()
        bindings.append(binding)
        if program:
            add_tick()
    body = relax.SeqExpr([relax.BindingBlock(bindings)], main.body.body)
    return relax.Function([*main.params, notes], body, main.ret_ty, main.is_pure, main.attrs)


def _tick(runs: int, ticks: int) -> PrimFunc:
    """Return the program ``(notes, index)`` that writes the time of the tick `index`; the first one begins a run."""
    index = tirx.Var("index", "int64")
    notes = tirx.decl_buffer((FIELDS * (1 + runs * ticks),), "int64", "notes")
    begun = notes.vload([0]) + tirx.Select(index == 0, tirx.const(1, "int64"), tirx.const(0, "int64"))
    row = tirx.indexmod(notes.vload([0]) - 1, tirx.const(runs, "int64"))
    place = FIELDS * (1 + row * ticks + index)
    address = tirx.call_intrin("handle", "tirx.address_of", notes[place])
    now = tirx.call_extern("int32", "clock_gettime", tirx.const(MONOTONIC, "int32"), address)
    body = tirx.SeqStmt([notes.vstore([0], begun), tirx.Evaluate(now)])
    return tirx.PrimFunc([notes, index], body).with_attr({"global_symbol": TICK, "tirx.noalias": True})
