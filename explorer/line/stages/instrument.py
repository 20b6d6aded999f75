"""Lowered network, schedules and target → the library that notes when each of its programs ends, and what they run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import tvm
from onnx import numpy_helper

import dlas_ops
from dlas_ops import peaks
from explorer.core.errors import Failure, StageFailed
from explorer.line.contracts.instrument import Call, Parameters, Parents, Values, Weights
from explorer.line.stages.tune import load_scheduled

VERSION = 1
WORKER = "tvm"
LIBRARY, PEAKS = "ticking.tar", "peaks.tar"
CALLS, WEIGHTS = "calls.json", "weights.json"
RUNS = 16


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the library, the programs of the device's peaks, and what each call runs.

    Raises
    ------
    StageFailed
        Of kind ``unsupported``, if an earlier version lowered the network.
    ValueError
        If the target is a GPU.
    """
    lowered = dlas_ops.load(parents.lower.path)
    if not any(layer.program for layer in lowered.layers):
        lacks = "an earlier version lowered the network, and its account does not say which program runs a layer"
        message = f"{lacks}; remove '{parents.lower.path}', and the network is lowered again, to the same"
        raise StageFailed(Failure("instrument", "unsupported", message))
    scheduled = load_scheduled(parents.tune.path) if parents.tune else {}
    target = tvm.target.Target(parameters.target)
    library, timed = dlas_ops.build_ticking(lowered, target, scheduled, runs=RUNS)
    library.export_library(str(out / LIBRARY))
    peaks.build(target).export_library(str(out / PEAKS))
    calls: list[Call] = [
        {
            "program": call.program,
            "layers": list(call.layers),
            "weight_bytes": call.weight_bytes,
            "activation_bytes": call.activation_bytes,
            "output": list(call.output),
        }
        for call in timed
    ]
    (out / CALLS).write_text(json.dumps(calls))
    names = {name for call in timed for name in call.layers}
    (out / WEIGHTS).write_text(json.dumps(_weights(parents.network.path / "network.onnx", names)))
    return {"calls": len(calls), "runs": RUNS}


def _weights(model: Path, layers: set[str]) -> dict[str, Weights]:
    """Return layer → its weights in the ONNX network; see `dlas_ops.onnx.names` for how the two are named."""
    graph = onnx.load(model).graph
    dequantized = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    readers = {name: node for node in graph.node for name in node.input}
    found: dict[str, Weights] = {}
    for tensor in graph.initializer:
        name, reader = tensor.name.removesuffix("_quantized"), readers.get(dequantized.get(tensor.name, tensor.name))
        if name in layers and reader is not None:
            array = numpy_helper.to_array(tensor)
            nonzeros = int(np.count_nonzero(array))
            found[name] = {"size": array.size, "nonzeros": nonzeros, "tensor": reader.output[0]}
    return found
