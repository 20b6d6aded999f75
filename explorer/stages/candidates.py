"""ONNX network and target → a library with every candidate kernel for its layers, for an algorithm that selects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tvm

import dlas_ops
from dlas_ops import candidates
from explorer.store import Artifact

VERSION = 1  # of the kernels, too: what was measured of another version is measured anew
WORKER = "tvm"
GRAPH = "graph.json"  # layers and where their layouts meet
FUNCTIONS = "functions.json"
LIBRARY = "candidates.tar"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the library; return ``{"problems": [{"problem": {...}, "candidates": [...]}]}``, one for layers alike.

    Parameters
    ----------
    parameters
        ``target``, a TVM target as a dict.
    parents
        ``compress``, whose ``network.onnx`` is read.
    """
    network = onnx.load(parents["compress"].path / "network.onnx")
    target = tvm.target.Target(parameters["target"])
    graph = dlas_ops.plan(network, target)
    problems = graph.distinct()
    built = candidates.build(problems, target)
    built.library.export_library(str(out / LIBRARY))
    (out / GRAPH).write_text(json.dumps(graph.to_json()))
    (out / FUNCTIONS).write_text(json.dumps(built.functions))
    both = zip(problems, built.functions, strict=True)
    return {"problems": [{"problem": problem.to_json(), "candidates": list(own)} for problem, own in both]}
