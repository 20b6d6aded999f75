"""ONNX network and weight format → the layers to select algorithms for, and what of them there is to measure."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import tvm

import dlas_ops
from dlas_ops.passes.eviction import evicted_bytes
from dlas_ops.processor.targets import describe
from dlas_ops.selection import candidates
from explorer.core.errors import Failure, StageFailed
from explorer.line.contracts.plan import Parameters, Parents, Values

VERSION = 4
WORKER = "tvm"
GRAPH = "graph.json"  # layers and where their layouts meet


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the graph; return the problems to measure.

    Raises
    ------
    StageFailed
        Of kind ``not_applicable`` if the network cannot take so many images at once.
    """
    try:
        network = dlas_ops.with_batch(onnx.load(parents.network.path / "network.onnx"), parameters.batch)
    except ValueError as error:
        raise StageFailed(Failure("plan", "not_applicable", str(error))) from error
    target = tvm.target.Target(parameters.target)
    graph = dlas_ops.plan(network, target, format=parameters.format, dtype=parameters.dtype)
    (out / GRAPH).write_text(json.dumps(graph.to_json()))
    problems = graph.distinct()
    return {
        "problems": [{"problem": own.to_json(), "candidates": candidates.names(own, target)} for own in problems],
        "evicted_bytes": evicted_bytes(graph.weight_bytes, describe(target)),
    }
