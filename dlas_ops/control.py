"""Target → fixed programs of a device: how fast it is at the moment, where its threads run, what its system says.

A network's latency differs between moments because its host, its neighbours and its clock do. These programs do the
same at every moment, so a difference in their time is the device's. They call the C library of the device's system by
name: any server of TVM on Linux runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops._types import Library, PrimFunc, Target
from dlas_ops.passes.eviction import LINE, evicting

te, tirx, s_tir = tvm.te, tvm.tirx, tvm.s_tir

# Sums of products that stay in registers: of rows x lanes, each of INNER products, AGAIN times. 39 million
# multiplications and additions on each thread, 0.3 ms at 120 GFLOP/s.
ROWS, LANES, INNER, AGAIN = 6, 32, 256, 400
READ = 16 << 20  # bytes that `memory` reads: more than the caches of a core hold
TEXT = 4096  # bytes of a file that `contents` reads: all that /proc/cpuinfo says of an x86 core, with its flags


def build(target: Target) -> Library:
    """Return the programs ``arithmetic``, ``memory``, ``wake``, ``pin`` and ``contents``, compiled for `target`.

    ``arithmetic(left, right, sums)``, (threads, INNER, ROWS), (threads, INNER, LANES) and (threads, ROWS, LANES) of
    float32, multiplies and adds in the registers of every thread.

    ``memory(memory, sums)``, (threads, lines, LINE) and (threads, LINE) of float32, reads memory on every thread.

    ``wake(done)``, (threads,) of int32, does nothing on every thread: it takes what the threads take to begin and end.

    ``pin(masks, done)``, (threads,) of uint64 and of int32, gives each thread the cores whose bits are set; 0 if done.

    ``contents(path, text, done)``, (length,) and (TEXT,) of uint8 and (1,) of int64, reads the beginning of the file
    whose name `path` has, a zero at its end; its length is -1 if there is no such file.
    """
    functions = {
        "arithmetic": products(ROWS, LANES, INNER, AGAIN),
        "memory": evicting(),
        "wake": _on_each_thread([], te.compute((te.var("threads"),), lambda thread: thread, name="done")),
        "pin": _pin(),
        "contents": _contents(),
    }
    return compiled(functions, target)


def build_reader(target: Target) -> Library:
    """Return the program ``contents`` alone, compiled for `target`; see `build`."""
    return compiled({"contents": _contents()}, target)


def compiled(functions: Mapping[str, PrimFunc], target: Target) -> Library:
    """Return programs under their names, compiled for `target`."""
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in functions.items()})
    return tvm.compile(module, target=target)


def products(rows: int, lanes: int, inner: int, again: int) -> PrimFunc:
    """Return the program ``(left, right, sums)`` that sums products of float32 in the registers of every thread.

    Of each thread, ``sums``, (threads, rows, lanes), are those of the `inner` products of ``left``, (threads, inner,
    rows), and ``right``, (threads, inner, lanes), `again` times.
    """
    parts = te.var("parts")
    left, right = (te.placeholder((parts, inner, size), "float32") for size in (rows, lanes))
    repeated, k = te.reduce_axis((0, again)), te.reduce_axis((0, inner))
    sums = te.compute(
        (parts, rows, lanes), lambda p, i, j: te.sum(left[p, k, i] * right[p, k, j], axis=[repeated, k]), name="sums"
    )
    sch = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([left, right, sums])}))
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


def _pin() -> PrimFunc:
    masks = te.placeholder((te.var("threads"),), "uint64")

    def pinned(thread: Any) -> Any:
        itself, size = tirx.const(0, "int32"), tirx.const(8, "int64")
        return tirx.call_extern("int32", "sched_setaffinity", itself, size, _address(masks[thread]))

    return _on_each_thread([masks], te.compute(masks.shape, pinned, name="done"))


def _on_each_thread(inputs: list[Any], result: Any) -> PrimFunc:
    """Return the program of `result`, an element by each thread: TVM's pool gives every thread one part of a loop."""
    sch = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([*inputs, result])}))
    sch.parallel(sch.get_loops(sch.get_sblock(result.op.name))[0])
    return sch.mod["main"]


def _contents() -> PrimFunc:
    path, text = te.placeholder((te.var("length"),), "uint8", "path"), te.placeholder((TEXT,), "uint8", "text")

    def read(inputs: list[Any], outputs: list[Any]) -> Any:
        (name, into), (done,) = inputs, outputs
        opened = tirx.call_extern("int32", "open", _address(name[0]), tirx.const(0, "int32"))
        file = tirx.Var("file", "int32")
        size = tirx.call_extern("int64", "read", file, _address(into[0]), tirx.const(TEXT, "int64"))
        closed = tirx.Evaluate(tirx.call_extern("int32", "close", file))
        return tirx.SeqStmt([tirx.Bind(file, opened), done.vstore([0], size), closed])

    done = te.extern([(1,)], [path, text], read, name="done", dtype="int64")
    return te.create_prim_func([path, text, done])


def _address(element: Any) -> Any:
    return tirx.call_intrin("handle", "tirx.address_of", element)


def arguments(threads: int) -> Mapping[str, list[tuple[tuple[int, ...], str]]]:
    """Return shape and dtype of every argument of the programs that are timed, on so many threads."""
    return {
        "arithmetic": [((threads, INNER, ROWS), "float32"), ((threads, INNER, LANES), "float32"),
                       ((threads, ROWS, LANES), "float32")],
        "memory": [((threads, READ // (4 * LINE * threads), LINE), "float32"), ((threads, LINE), "float32")],
        "wake": [((threads,), "int32")],
    }  # fmt: skip
