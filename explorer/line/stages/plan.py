"""ONNX network and weight format → the layers to select algorithms for, and what of them there is to measure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tvm

import dlas_ops
from dlas_ops.passes.eviction import evicted_bytes
from dlas_ops.processor.targets import describe
from dlas_ops.selection import candidates
from explorer.core.artifact import Artifact

VERSION = 4
WORKER = "tvm"
GRAPH = "graph.json"  # layers and where their layouts meet


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the graph; return what there is to measure.

    That is ``problems``: ``{"problem": {...}, "candidates": [...]}``, one for layers alike; and ``evicted_bytes``, what
    is displaced from the caches meanwhile.

    Parameters
    ----------
    parameters
        ``format``, ``dtype`` and ``target``, a TVM target as a dict.
    parents
        ``network``, an artifact of ``compress`` or ``quantize``, whose ``network.onnx`` is read.
    """
    network = onnx.load(parents["network"].path / "network.onnx")
    target = tvm.target.Target(parameters["target"])
    graph = dlas_ops.plan(network, target, format=parameters["format"], dtype=parameters["dtype"])
    (out / GRAPH).write_text(json.dumps(graph.to_json()))
    problems = graph.distinct()
    return {
        "problems": [{"problem": own.to_json(), "candidates": candidates.names(own, target)} for own in problems],
        "evicted_bytes": evicted_bytes(graph.weight_bytes, describe(target)),
    }
