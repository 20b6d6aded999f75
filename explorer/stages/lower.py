"""ONNX network, algorithm, format and target → Relax module with every layer placed, and the account of its layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tvm

import dlas_ops
from explorer.errors import Failure, StageFailed
from explorer.stages.select import SELECTION
from explorer.store import Artifact

VERSION = 3
WORKER = "tvm"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the lowered module; return ``{"convolutions": n, "convolutions_as_asked": m}``.

    Parameters
    ----------
    parameters
        ``algorithm``, ``format``, ``target`` (a TVM target as a dict).
    parents
        ``compress``, whose ``network.onnx`` is read, and ``select`` for an algorithm that selects among the others.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if not one convolution can run as asked: the trial would measure something else.
    """
    network = onnx.load(parents["compress"].path / "network.onnx")
    target = tvm.target.Target(parameters["target"])
    algorithm = parameters["algorithm"]
    if "select" in parents:
        algorithm = dlas_ops.Selection.from_json(json.loads((parents["select"].path / SELECTION).read_text()))
    lowered = dlas_ops.lower(network, target, algorithm=algorithm, format=parameters["format"])
    convolutions = [layer for layer in lowered.layers if layer.operator.endswith("conv2d")]
    as_asked = [layer for layer in convolutions if layer.as_asked]
    if convolutions and not as_asked:
        reasons = "; ".join(sorted({layer.reason for layer in convolutions}))
        wanted = f"{parameters['algorithm']} in format {parameters['format']}"
        raise StageFailed(Failure("lower", "not_applicable", f"no convolution can run as {wanted}: {reasons}"))
    dlas_ops.save(lowered, out)
    return {"convolutions": len(convolutions), "convolutions_as_asked": len(as_asked)}
