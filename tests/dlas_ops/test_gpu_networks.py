"""Whole networks on this machine's first OpenCL device, by TVM's OpenCL runtime, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops._types import Array
from dlas_ops.processor.targets import native_target
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.exported_networks import export
from tests.opencl import needed

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
# Of the largest output.
TOLERANCES = {"float32": 1e-4, "int8": 0.02}
NETWORKS = [("resnet18", 32), ("mobilenetv2", 32), ("efficientnet_b0", 224)]


def ran(compiled: dlas_ops.Compiled, data: Array) -> Array:
    """Return the output of a network for an OpenCL device."""
    machine = tvm.relax.VirtualMachine(compiled.library, [tvm.device("opencl", 0), tvm.cpu()])
    return np.asarray(machine["main"](tvm.runtime.tensor(data, tvm.device("opencl", 0))).numpy())


@needed
@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("network", "size"), NETWORKS)
def test_agrees_with_the_processor(network: str, size: int, algorithm: str, dtype: str, tmp_path: Path) -> None:
    """In float32 with ONNX Runtime; in int8 with a CPU that runs the same quantized network."""
    export(tmp_path, size, network)
    model = onnx.load(tmp_path / f"{network}.onnx")
    data = networks.random((1, 3, size, size))
    target = tvm.target.Target({"kind": "opencl", "device": "pocl", "host": native_target()})
    if dtype == "int8":
        model = dlas_ops.quantize(model, networks.random((8, 3, size, size), 1))
        expected = networks.run(dlas_ops.compile(model, networks.target(), algorithm=algorithm, dtype=dtype), data)
    else:
        expected = networks.run_onnxruntime(model, data)
    actual = ran(dlas_ops.compile(model, target, algorithm=algorithm, dtype=dtype), data)
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    print(f"{network}@{size} {algorithm} {dtype}: {error:.1e}")
    assert error < TOLERANCES[dtype]
