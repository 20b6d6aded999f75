"""Lowered module, schedules and target → compiled library with its account of layers."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import tvm

import dlas_ops
from dlas_ops.passes.memory import Memory
from explorer.line.contracts.build import Parameters, Parents, Values
from explorer.line.stages.tune import load_scheduled

VERSION = 8
WORKER = "tvm"
LAYERS = "layers.json"
LIBRARY = "network.tar"  # object files: the RPC server links them, so no cross linker is needed here
SHARED = "network.so"  # in a bundle for a machine like this one


def library_in(folder: Path) -> str:
    """Return the file of the library in the folder of an artifact, or in that of a bundle."""
    return LIBRARY if (folder / LIBRARY).exists() else SHARED


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the library, and ``layers.json`` with what was asked of each layer and what runs.

    The size on record is not the archive's, which is gzipped and would credit a pruned network with zeros that are
    stored all the same.
    """
    lowered = dlas_ops.load(parents.lower.path)
    scheduled = load_scheduled(parents.tune.path) if parents.tune else {}
    memory = Memory()
    built = dlas_ops.build(lowered, tvm.target.Target(parameters.target), scheduled, memory)
    built.library.export_library(str(out / LIBRARY))
    (out / LAYERS).write_text(json.dumps([layer.to_json() for layer in built.layers], indent=1))
    with tarfile.open(out / LIBRARY) as archive:
        size = sum(member.size for member in archive.getmembers())
    return {
        "size_bytes": size,
        "memory_bytes": memory.weights + memory.arena + memory.workspace,
        "thread_bytes": memory.thread_workspace,
    }
