"""Lowered module, schedules and target → compiled library with its account of layers."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tvm

import dlas_ops
from explorer.core.artifact import Artifact
from explorer.line.stages.tune import load_scheduled

VERSION = 4
WORKER = "tvm"
LAYERS = "layers.json"
LIBRARY = "network.tar"  # object files: the RPC server links them, so no cross linker is needed here


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the library, and ``layers.json`` with what was asked of each layer and what runs.

    Return ``{"size_bytes": n}``, the library's object code and weights as they lie in memory once linked. The archive
    is gzipped: its size would credit a pruned network with zeros that are stored all the same.

    Parameters
    ----------
    parameters
        ``target``, a TVM target as a dict.
    parents
        ``lower`` and, of a tuned network, ``tune``.
    """
    lowered = dlas_ops.load(parents["lower"].path)
    scheduled = load_scheduled(parents["tune"].path) if "tune" in parents else {}
    library = dlas_ops.build(lowered, tvm.target.Target(parameters["target"]), scheduled)
    library.export_library(str(out / LIBRARY))
    (out / LAYERS).write_text(json.dumps([layer.to_json() for layer in lowered.layers], indent=1))
    with tarfile.open(out / LIBRARY) as archive:
        return {"size_bytes": sum(member.size for member in archive.getmembers())}
