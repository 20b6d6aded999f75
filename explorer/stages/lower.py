"""ONNX network, algorithm, format and target → Relax module with every layer placed, and the account of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import tvm

import dlas_ops
from explorer.errors import Failure, StageFailed
from explorer.store import Artifact

VERSION = 1
WORKER = "tvm"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the lowered module; return ``{"layers": [...], "placed": n}``.

    Parameters
    ----------
    parameters
        ``algorithm``, ``format``, ``target`` (a TVM target as a dict).
    parents
        ``compress``, whose ``network.onnx`` is read.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if not one layer can run as asked: the trial would measure something else.
    """
    network = onnx.load(parents["compress"].path / "network.onnx")
    target = tvm.target.Target(parameters["target"])
    asked = {"algorithm": parameters["algorithm"], "format": parameters["format"]}
    lowered = dlas_ops.lower(network, target, **asked)
    layers = [asdict(layer) for layer in lowered.layers]
    placed = [layer for layer in layers if layer["asked"] == layer["ran"]]
    if not placed:
        reasons = "; ".join(sorted({layer["reason"] for layer in layers if layer["reason"]}))
        wanted = f"{asked['algorithm']} in format {asked['format']}"
        raise StageFailed(Failure("lower", "not_applicable", f"no layer can run as {wanted}: {reasons}"))
    dlas_ops.save(lowered, out)
    return {"layers": layers, "placed": len(placed)}
