"""Lowered module, schedules and target → compiled library with its account of layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tvm

import dlas_ops
from explorer.store import Artifact

VERSION = 1
WORKER = "tvm"
LIBRARY = "network.tar"  # object files: the RPC server links them, so no cross linker is needed here


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the library; return ``{"size_bytes": n}``, its size with weights and code as they would be deployed.

    Parameters
    ----------
    parameters
        ``target``, a TVM target as a dict.
    parents
        ``lower`` and ``tune``.
    """
    lowered = dlas_ops.load(parents["lower"].path)
    library = dlas_ops.build(lowered, tvm.target.Target(parameters["target"]))
    library.export_library(str(out / LIBRARY))
    return {"size_bytes": (out / LIBRARY).stat().st_size}
