"""Scheduled tensor program → the same, to be timed with its caches evicted, as the rest of a network would.

In a network, the other layers' weights have passed through the caches since a layer's own were last read. Before a run,
TVM's time_evaluator can only copy memory, or run what it times: a copy leaves lines that are written back while the
program runs, and a network only reads its weights.

In ResNet18 by Winograd's algorithm, which reads 79 MB of weights, the kernels take 3.1 to 3.6 ms, and 2.4 to 2.5 with
weights asked for 4 KiB ahead. By themselves they come to 2.5 to 2.6 and 2.3 to 2.4 ms with 4 MiB read between runs, to
2.8 to 3.2 and 2.5 ms with 64 MiB, and to 3.5 to 4.2 and 2.7 to 3.0 ms with 96 MiB (`tests/benchmarks/tuning.py --kinds
caches`, two runs on 2 cores with 2 MiB of L2 cache each and a share of 480 MiB of L3 cache).

So on a CPU every other call of a program reads memory instead. A kernel of a GPU cannot do that: its work-groups follow
from the program. There, time_evaluator copies memory of the GPU's own before each run, on the GPU itself, over RPC too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tvm.rpc.base import RPC_SESS_MASK

from dlas_ops._tvm import tvm
from dlas_ops._types import Device, DeviceArray, Library, PrimFunc
from dlas_ops.processor.gpus import Gpu
from dlas_ops.processor.targets import Processor

te, tirx, s_tir = tvm.te, tvm.tirx, tvm.s_tir

# The actions of the next call.
EVICTS, RUNS = 0, 1

# Floats in a line of the caches.
LINE = 16

# The L2 cache is evicted by so many times its size, whatever the network.
LEAST_L2 = 2
# That takes more than 2 ms a run, and there are boards with 512 MiB of memory.
MOST = 128 << 20


def to_time(function: PrimFunc, processor: Processor) -> PrimFunc:
    """Return a scheduled `function` as `Eviction` calls it: on a CPU it evicts in turns, on a GPU it is as it was."""
    return function if isinstance(processor, Gpu) else in_turns(function)


def in_turns(function: PrimFunc) -> PrimFunc:
    """Return `function` with three more arguments, for `Eviction` to call: turn, memory and sums.

    A call whose ``turn``, (1,) of int32, is `EVICTS` sums ``memory``, (parts, lines, `LINE`) of float32, by parts in
    parallel into ``sums``, (parts, `LINE`), instead of what the function does. Every call sets the turn to the other.
    """
    root, evicts = function.body.block, evicting()
    turn = te.placeholder((1,), "int32", "turn")
    turn = te.create_prim_func([turn, te.compute((1,), lambda i: turn[i])]).params[0]
    evict = [evicts.body.block.body, tirx.BufferStore(turn, tirx.const(RUNS, "int32"), [0])]
    run = [root.body, tirx.BufferStore(turn, tirx.const(EVICTS, "int32"), [0])]
    either = tirx.IfThenElse(tirx.BufferLoad(turn, [0]) == EVICTS, tirx.SeqStmt(evict), tirx.SeqStmt(run))
    body = s_tir.SBlockRealize([], True, s_tir.SBlock([], [], [], "root", either, alloc_buffers=root.alloc_buffers))
    whole = tirx.PrimFunc([*function.params, turn, *evicts.params], body, function.ret_type)
    return whole.with_attrs(dict(function.attrs.items()))


def evicting() -> PrimFunc:
    """Return the program that reads ``memory``, (parts, lines, `LINE`) of float32, by parts in parallel: it sums it."""
    parts, lines = te.var("parts"), te.var("lines")
    memory = te.placeholder((parts, lines, LINE), "float32", "memory")
    line = te.reduce_axis((0, lines), "line")
    sums = te.compute((parts, LINE), lambda part, v: te.sum(memory[part, line, v], axis=line), name="sums")
    sch = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([memory, sums])}))
    block = sch.get_sblock("sums")
    part, v, line = sch.get_loops(block)
    sch.reorder(part, line, v)
    sch.parallel(part)
    sch.vectorize(v)
    sch.decompose_reduction(block, line)
    return sch.mod["main"]


def evicted_bytes(constant_bytes: int, processor: Processor) -> int:
    """Return how much is read between two runs of a layer of a network with so many bytes of constants: all of them.

    On a GPU these are the bytes that pass through its caches, half of them read and half of them written.

    It is the next power of two, or one and a half times one, so that networks of similar sizes share what is measured.
    """
    power = 1 << max(constant_bytes - 1, 1).bit_length()
    fitting = power * 3 // 4 if power * 3 // 4 >= constant_bytes else power
    least = 0 if isinstance(processor, Gpu) else LEAST_L2 * processor.l2_bytes
    return min(max(fitting, least), MOST)


class Eviction:
    """Runs and times functions that `to_time` made, on a device: a CPU or a GPU, of this machine or over RPC.

    Parameters
    ----------
    evicted
        Bytes to move through the caches before each run; see `evicted_bytes`.
    parts
        Threads of a CPU that read them.
    fill
        The device's function that fills an array with random numbers: memory that was never written is one page.
    """

    def __init__(self, evicted: int, parts: int, device: Device, fill: Callable[[DeviceArray], DeviceArray]) -> None:
        self._device, self._fill = device, fill
        self._copied = evicted // 8 * 4 if is_gpu(device) else 0  # half, in whole numbers of 32 bits
        self._turns: list[DeviceArray] = []
        if not is_gpu(device):
            memory = self.array((parts, evicted // (4 * LINE * parts), LINE), "float32")
            sums = tvm.runtime.empty((parts, LINE), "float32", device)
            self._turns = [tvm.runtime.empty((1,), "int32", device), memory, sums]

    def array(self, shape: Sequence[int], dtype: str) -> DeviceArray:
        """Return an array of random numbers on the device."""
        made = tvm.runtime.empty(tuple(shape), dtype, self._device)
        self._fill(made)
        return made

    def run(self, function: PrimFunc, arrays: Sequence[DeviceArray]) -> None:
        """Run `function` once, to its end."""
        self._next(RUNS)
        function(*arrays, *self._turns)
        if not self._turns:
            self._device.sync()  # a GPU has only been told to run it

    def timer(self, library: Library, symbol: str, runs: int) -> Callable[[Sequence[DeviceArray]], list[float]]:
        """Return what takes the arrays that a function runs on and returns the seconds of `runs` runs."""
        # The first call is not timed: on a CPU it evicts. Then runs and evictions take turns.
        every = 2 if self._turns else 1
        evaluator = library.time_evaluator(
            symbol, self._device, number=1, repeat=every * (runs - 1) + 1, cache_flush_bytes=self._copied
        )

        def timed(arrays: Sequence[DeviceArray]) -> list[float]:
            self._next(EVICTS)
            return [float(seconds) for seconds in evaluator(*arrays, *self._turns).results[::every]]

        return timed

    def _next(self, turn: int) -> None:
        if self._turns:
            self._turns[0].copyfrom(np.array([turn], np.int32))


def is_gpu(device: Device) -> bool:
    """Tell whether `device`, of this machine or over RPC, is no CPU."""
    return bool(device.dlpack_device_type() % RPC_SESS_MASK != tvm.cpu().dlpack_device_type())
