"""A program for a device: the core that each thread of TVM's pool runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.processor.targets import native_target

LIBRARY = "cores.tar"


def build(folder: Path) -> Path:
    """Write the program, compiled for this machine, into `folder` and return the file."""
    te, tirx = tvm.te, tvm.tirx
    core = te.compute((te.var("threads"),), lambda thread: tirx.call_extern("int32", "sched_getcpu"), name="core")
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([core])}))
    sch.parallel(sch.get_loops(sch.get_sblock("core"))[0])
    module = tvm.IRModule({"cores": sch.mod["main"].with_attr("global_symbol", "cores")})
    tvm.compile(module, target=tvm.target.Target(native_target())).export_library(str(folder / LIBRARY))
    return folder / LIBRARY


def cores(session: Any, library: Path, threads: int) -> list[int]:
    """Return the core that each thread of a session runs on."""
    session.upload(str(library))
    found = tvm.runtime.empty((threads,), "int32", session.cpu())
    session.load_module(library.name)["cores"](found)
    return [int(core) for core in found.numpy()]
