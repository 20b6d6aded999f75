"""Fixed programs on a device: how fast its arithmetic and its memory are at the moment, and where its threads run.

They call the C library of the device's system by name, so that any server of TVM on Linux runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from dlas_ops._tvm import tvm
from dlas_ops.passes.eviction import LINE, evicting
from dlas_ops.processor.targets import native_target

LIBRARY = "control.tar"
# Sums of products that stay in registers: of rows x lanes, each of INNER products, AGAIN times. 0.3 ms at 120 GFLOP/s.
ROWS, LANES, INNER, AGAIN = 6, 32, 256, 400
READ = 32 << 20  # bytes, more than a core's own caches hold
REPEATS = 8


def build(folder: Path) -> Path:
    """Write the programs, compiled for this machine, into `folder` and return the file."""
    functions = {"arithmetic": _arithmetic(), "memory": evicting(), "pin": _pin(), "cores": _cores()}
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in functions.items()})
    tvm.compile(module, target=tvm.target.Target(native_target())).export_library(str(folder / LIBRARY))
    return folder / LIBRARY


class Control:
    """The programs in a session, on as many threads as the session computes on."""

    def __init__(self, session: Any, library: Path, threads: int) -> None:
        session.upload(str(library))
        self._functions, self._device = session.load_module(library.name), session.cpu()
        self._threads = threads
        operands = [self._array((threads, INNER, size)) for size in (ROWS, LANES)]
        self._arguments = {
            "arithmetic": [*operands, self._array((threads, ROWS, LANES))],
            "memory": [self._array((threads, READ // (4 * LINE * threads), LINE)), self._array((threads, LINE))],
        }

    def milliseconds(self, name: str) -> float:
        """Return what ``"arithmetic"`` or ``"memory"`` takes: the median of a few runs."""
        timer = self._functions.time_evaluator(name, self._device, number=1, repeat=REPEATS)
        return 1e3 * median(map(float, timer(*self._arguments[name]).results))

    def pin(self, cores: Sequence[int]) -> None:
        """Give each thread a core of its own, in the order of `cores`."""
        masks = tvm.runtime.tensor(np.array([1 << core for core in cores], np.uint64), self._device)
        done = tvm.runtime.empty((self._threads,), "int32", self._device)
        self._functions["pin"](masks, done)
        assert not done.numpy().any(), "the system refused"

    def cores(self) -> list[int]:
        """Return the core that each thread runs on."""
        found = tvm.runtime.empty((self._threads,), "int32", self._device)
        self._functions["cores"](found)
        return [int(core) for core in found.numpy()]

    def _array(self, shape: tuple[int, ...]) -> Any:
        return tvm.runtime.tensor(np.ones(shape, np.float32), self._device)


def _arithmetic() -> Any:
    te = tvm.te
    parts = te.var("parts")
    left, right = (te.placeholder((parts, INNER, size), "float32") for size in (ROWS, LANES))
    again, k = te.reduce_axis((0, AGAIN)), te.reduce_axis((0, INNER))
    sums = te.compute(
        (parts, ROWS, LANES), lambda p, i, j: te.sum(left[p, k, i] * right[p, k, j], axis=[again, k]), name="sums"
    )
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([left, right, sums])}))
    block = sch.get_sblock("sums")
    written = sch.cache_write(block, 0, "local")
    part, row, lane, *reduced = sch.get_loops(block)
    sch.reorder(part, *reduced, row, lane)
    sch.reverse_compute_at(written, part)
    sch.parallel(part)
    sch.unroll(row)
    sch.vectorize(lane)
    sch.vectorize(sch.get_loops(written)[-1])
    sch.decompose_reduction(block, reduced[0])
    return sch.mod["main"]


def _pin() -> Any:
    te, tirx = tvm.te, tvm.tirx
    masks = te.placeholder((te.var("threads"),), "uint64")

    def pinned(thread: Any) -> Any:
        mask = tirx.call_intrin("handle", "tirx.address_of", masks[thread])
        itself, size = tirx.const(0, "int32"), tirx.const(8, "int64")
        return tirx.call_extern("int32", "sched_setaffinity", itself, size, mask)

    return _on_each_thread([masks], te.compute(masks.shape, pinned, name="done"))


def _cores() -> Any:
    te, tirx = tvm.te, tvm.tirx
    core = te.compute((te.var("threads"),), lambda thread: tirx.call_extern("int32", "sched_getcpu"), name="done")
    return _on_each_thread([], core)


def _on_each_thread(inputs: list[Any], result: Any) -> Any:
    """Return the program of `result`, an element by each thread: TVM's pool gives every thread one part of a loop."""
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": tvm.te.create_prim_func([*inputs, result])}))
    sch.parallel(sch.get_loops(sch.get_sblock(result.op.name))[0])
    return sch.mod["main"]
