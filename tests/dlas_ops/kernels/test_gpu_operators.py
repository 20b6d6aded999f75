"""Operators around a convolution on GPUs, against ONNX Runtime: pooling, dense layers and what is element-wise."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import opencl
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.kernels.operators.test_product import attention
from tests.dlas_ops.kernels.sparse.test_sparse import gated
from tests.dlas_ops.operator_cases import CASES, after_convolution
from tests.dlas_ops.test_int8 import OPERATORS, compare, dense_network, operator_network

# A processor that runs OpenCL, and a family whose threads share memory.
DEVICES = ["pocl", "adreno"]
# Of int8, what every run of the tests has of the operators: the others differ from one of these by no kernel's form.
QUICK = ["Add", "Concat", "MaxPool", "AveragePool within the border", "GlobalAveragePool", "Sigmoid"]
# Those around dense layers; the other cases are around sparse ones every time, and nightly all are around both.
AROUND_DENSE = list(CASES)[::2]


def check(network: onnx.ModelProto, algorithm: str, device: str) -> None:
    data = networks.random([size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim])
    target = opencl.target(device)
    actual = opencl.run(dlas_ops.lower(network, target, algorithm=algorithm), target, data)
    networks.assert_close(actual, networks.run_onnxruntime(network, data), 1e-5)


@pytest.mark.parametrize("device", [pytest.param("pocl", marks=pytest.mark.nightly), "adreno"])
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in AROUND_DENSE else pytest.mark.nightly) for case in CASES]
)
def test_agrees_with_onnxruntime(case: str, device: str) -> None:
    check(after_convolution(*CASES[case]), "direct" if device == "pocl" else "spatial_pack", device)


@pytest.mark.parametrize(("algorithm", "device"), crossed(["direct", "spatial_pack"], DEVICES))
def test_concatenation_of_whole_vectors(algorithm: str, device: str) -> None:
    nodes = [helper.make_node("Neg", ["c"], ["n"]), helper.make_node("Concat", ["c", "n", "c"], ["y"], axis=1)]
    check(after_convolution(nodes, {}, channels=32), algorithm, device)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("algorithm", "device"), crossed(["direct", "spatial_pack"], DEVICES))
def test_sums_may_gate_a_map_and_shift_it(algorithm: str, device: str, shifted: bool) -> None:
    check(gated(20, shifted=shifted), algorithm, device)


WINDOWS = [
    Conv(2, 19, 9, 11, 19, (3, 3), (2, 2), (1, 1, 1, 1), groups=19),
    Conv(1, 32, 7, 5, 32, (2, 3), padding=(0, 1, 1, 0), groups=32),
]


@pytest.mark.parametrize(("window", "kind", "device"), crossed(WINDOWS, ["MaxPool", "AveragePool"], DEVICES))
def test_pooling(window: Conv, kind: str, device: str) -> None:
    node = helper.make_node(kind, ["x"], ["y"], kernel_shape=window.kernel, strides=window.stride, pads=window.padding)
    check(networks.model([node], networks.shape_of(window), {}), "direct", device)


@pytest.mark.parametrize(("shape", "device"), crossed([(1, 100, 10), (3, 64, 33), (5, 17, 1)], DEVICES))
def test_dense(shape: tuple[int, int, int], device: str) -> None:
    rows, inputs, outputs = shape
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    weights = {"w": networks.random([outputs, inputs]), "b": networks.random([outputs])}
    check(networks.model([node], [rows, inputs], weights), "direct", device)


@pytest.mark.parametrize("device", [pytest.param("pocl", marks=pytest.mark.nightly), "adreno"])
def test_products(device: str) -> None:
    """Dense layers on tokens around products of two activations that are parts of one tensor."""
    network, data, expected = attention(9, 2, 8)
    target = opencl.target(device)
    networks.assert_close(opencl.run(dlas_ops.lower(network, target, algorithm="gemm"), target, data), expected, 1e-5)


# mali has an instruction for products of int8
@pytest.mark.parametrize(("device", "shape"), crossed([*DEVICES, "mali"], [(1, 512, 10), (3, 33, 50)]))
def test_dense_of_int8_agrees_with_onnx(device: str, shape: tuple[int, int, int]) -> None:
    model, data, quantum = dense_network(*shape)
    target = opencl.target(device)
    compare(
        model, data, quantum, opencl.run(dlas_ops.lower(model, target, algorithm="direct", dtype="int8"), target, data)
    )


@pytest.mark.parametrize("device", ["pocl", pytest.param("adreno", marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in QUICK else pytest.mark.nightly) for case in OPERATORS]
)
def test_operators_on_int8_agree_with_onnx(case: str, device: str) -> None:
    model, data, quantum = operator_network(case)
    target = opencl.target(device)
    lowered = dlas_ops.lower(model, target, algorithm="spatial_pack", dtype="int8")
    compare(model, data, quantum, opencl.run(lowered, target, data))
