"""Layers and whole networks on this machine's first GPU, or processor that runs OpenCL, by TVM's own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Target
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import native_target
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.exported_networks import export
from tests.dlas_ops.reference_checks import case, compare
from tests.dlas_ops.test_int8 import CONVS as INTEGERS
from tests.dlas_ops.test_int8 import Case
from tests.opencl import extensions

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
# Of the largest output.
TOLERANCES = {"float32": 1e-4, "float16": 0.02, "int8": 0.02}
NETWORKS = [("resnet18", 32), ("mobilenetv2", 32), ("vgg16", 32), ("efficientnet_b0", 224)]


CONVS = {
    "same": Conv(1, 64, 28, 28, 64, (3, 3), padding=(1, 1, 1, 1)),
    "strided": Conv(2, 20, 9, 7, 24, (3, 3), (2, 2), (1, 1, 1, 1)),
    "pointwise": Conv(1, 32, 8, 8, 64, (1, 1)),
    "one point": Conv(3, 48, 1, 1, 40, (1, 1)),
    "depthwise": Conv(2, 24, 9, 9, 24, (3, 3), (2, 2), (1, 1, 1, 1), groups=24),
    "grouped": Conv(1, 16, 7, 7, 24, (3, 3), groups=2),
}


def target(kind: str) -> Target:
    """Return the target of this machine's first device of a kind; a test that asks for it is skipped without one."""
    device = tvm.device(kind, 0)
    if not tvm.runtime.enabled(kind) or not device.exist:
        pytest.skip(f"TVM reaches no {kind} device here")
    family = {"device": "pocl"} if kind == "opencl" else {"arch": f"sm_{device.compute_version.replace('.', '')}"}
    return tvm.target.Target({"kind": kind, **family, "host": native_target()})


def ran(compiled: dlas_ops.Compiled, data: Array, kind: str = "opencl") -> Array:
    """Return the output of a network for a device of a kind."""
    device = tvm.device(kind, 0)
    machine = tvm.relax.VirtualMachine(compiled.library, [device, tvm.cpu()])
    return np.asarray(machine["main"](tvm.runtime.tensor(data, device)).numpy())


def exported(network: str, size: int, folder: Path) -> tuple[onnx.ModelProto, Array]:
    """Return a network with random weights, and an image for it."""
    export(folder, size, network)
    return onnx.load(folder / f"{network}.onnx"), networks.random((1, 3, size, size))


def assert_near(actual: Array, expected: Array, dtype: str, name: str) -> None:
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    print(f"{name}: {error:.1e}")
    assert error < TOLERANCES[dtype]


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["opencl", "cuda"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("conv", CONVS.values(), ids=CONVS)
def test_a_layer_agrees_with_the_reference(conv: Conv, algorithm: str, kind: str) -> None:
    network, data, expected = case(conv, blocked=True)
    compiled = dlas_ops.compile(network, target(kind), algorithm=algorithm)
    compare(ran(compiled, data, kind), expected, conv, "float32")


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["opencl", "cuda"])
@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack"])
@pytest.mark.parametrize("layer", INTEGERS)
def test_a_layer_of_int8_is_exact(layer: str, algorithm: str, kind: str) -> None:
    quantized = Case(INTEGERS[layer])
    compiled = dlas_ops.compile(quantized.model, target(kind), algorithm=algorithm, dtype="int8")
    quantized.compare(ran(compiled, quantized.data, kind))


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("network", "size"), NETWORKS)
def test_agrees_with_the_processor(network: str, size: int, algorithm: str, dtype: str, tmp_path: Path) -> None:
    """In floats with ONNX Runtime in float32; in int8 with a CPU that runs the same quantized network."""
    if dtype == "float16" and (algorithm == "winograd" or "cl_khr_fp16" not in extensions()):
        pytest.skip("winograd, and OpenCL without cl_khr_fp16, run no float16")
    model, data = exported(network, size, tmp_path)
    if dtype == "int8":
        model = dlas_ops.quantize(model, networks.random((8, 3, size, size), 1))
        expected = networks.run(dlas_ops.compile(model, networks.target(), algorithm=algorithm, dtype=dtype), data)
    else:
        expected = networks.run_onnxruntime(model, data)
    actual = ran(dlas_ops.compile(model, target("opencl"), algorithm=algorithm, dtype=dtype), data)
    assert_near(actual, expected, dtype, f"{network}@{size} {algorithm} {dtype}")


@pytest.mark.nightly
@pytest.mark.parametrize("algorithm", ["direct", "gemm"])
@pytest.mark.parametrize(("network", "size"), NETWORKS)
def test_agrees_with_the_processor_in_csr(network: str, size: int, algorithm: str, tmp_path: Path) -> None:
    model, data = exported(network, size, tmp_path)
    for weight in model.graph.initializer:
        if len(weight.dims) == 4:
            values = numpy_helper.to_array(weight)
            kept = np.abs(values) >= np.median(np.abs(values))
            weight.CopyFrom(numpy_helper.from_array(np.where(kept, values, 0).astype(values.dtype), weight.name))
    compiled = dlas_ops.compile(model, target("opencl"), algorithm=algorithm, format="csr")
    assert any(layer.ran == f"{algorithm}/csr" for layer in compiled.layers)
    name = f"{network}@{size} {algorithm} csr"
    assert_near(ran(compiled, data), networks.run_onnxruntime(model, data), "float32", name)
