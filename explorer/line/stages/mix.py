"""Network in float32 and in 8-bit integers, and layers → network.onnx on 8-bit integers in those layers alone."""

from __future__ import annotations

from pathlib import Path

import onnx

import dlas_ops
from explorer.line.contracts.mix import Parameters, Parents, Values
from explorer.line.prepared import Prepared
from explorer.line.stages.quantize import save_with_reference

VERSION = 1
WORKER = "tvm"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the network and, in ``reference.npz``, what onnx's operators in NumPy compute of test images."""
    network, quantized = (onnx.load(each.path / "network.onnx") for each in (parents.compress, parents.quantize))
    mixed = dlas_ops.mixed(network, quantized, parameters.layers)
    save_with_reference(mixed, Prepared.load(parents.data), out)
    able = dlas_ops.quantized_layers(quantized)
    return {"quantized_layers": len(parameters.layers), "float_layers": len(able) - len(parameters.layers)}
