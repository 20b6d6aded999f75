"""Convolutions with weights in CSR: against the NumPy reference over drawn shapes and patterns, and what they store."""

from __future__ import annotations

import re
import tarfile
from math import prod, sqrt
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.compiler import build
from dlas_ops.kernels.registry import Asked
from dlas_ops.kernels.scheduling import schedule, schedule_function, spaces
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.lowering import Lowered
from dlas_ops.processor.cpus import describe_cpu
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS, convolutions

ALGORITHMS = ["direct", "gemm", "spatial_pack"]
SPARSITIES = st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0])
LARGE = Conv(1, 64, 16, 16, 96, (3, 3), padding=(1, 1, 1, 1))
# Maps of every size.
MAPS = [
    Conv(2, 8, 1, 1, 8, (1, 1)),
    Conv(1, 8, 2, 2, 17, (3, 3), padding=(1, 1, 1, 1)),
    Conv(1, 8, 16, 32, 8, (3, 3), (1, 2), (1, 1, 1, 1)),
    Conv(1, 5, 17, 56, 7, (3, 5), padding=(1, 2, 1, 2)),
    Conv(3, 6, 40, 33, 4, (3, 3), (3, 1), (0, 1, 2, 3), (1, 2)),
    Conv(1, 4, 2, 600, 5, (2, 3), (1, 2), (1, 1, 0, 1)),
    Conv(1, 4, 3, 3, 5, (1, 1), padding=(2, 2, 2, 2)),
    Conv(1, 64, 1, 1, 64, (1, 1), (3, 3), (1, 1, 1, 1)),
]


def pruned(conv: Conv, sparsity: float, seed: int = 0) -> networks.Array:
    """Return weights with a share of zeros, among them one whole filter."""
    weight = networks.weights_of(conv, seed)
    weight[np.random.default_rng(seed).random(weight.shape) < sparsity] = 0
    if sparsity:
        weight[len(weight) // 2] = 0
    return weight


def case(conv: Conv, sparsity: float) -> tuple[onnx.ModelProto, networks.Array, networks.Array]:
    """Return a network of the convolution with bias and ReLU, then a pointwise one with a residual, in sparse layout.

    With it come an input and the output by the reference.
    """
    weight, bias, data = (
        pruned(conv, sparsity),
        networks.random([conv.out_channels]),
        networks.random(networks.shape_of(conv)),
    )
    nodes = [
        networks.conv_node(conv, ["x", "w", "b"], "c"),
        helper.make_node("Relu", ["c"], ["a"]),
        helper.make_node("Conv", ["a", "point"], ["p"]),
        helper.make_node("Add", ["p", "a"], ["y"]),
    ]
    height, width = conv.out_height, conv.out_width
    pointwise = Conv(conv.batch, conv.out_channels, height, width, conv.out_channels, (1, 1))
    point = pruned(pointwise, sparsity, 3)
    network = networks.model(nodes, networks.shape_of(conv), {"w": weight, "b": bias, "point": point})
    middle = np.maximum(reference.conv2d(data, weight, conv) + bias[:, None, None], 0)
    return network, data, reference.conv2d(middle, point, pointwise) + middle


def compare(output: networks.Array, expected: networks.Array, conv: Conv) -> None:
    """Compare an output of a `case` with that of the reference."""
    # Where the map is a few points, all may happen to be far below the deviation of the sums.
    scale = max(float(np.abs(expected).max()), sqrt(conv.macs / expected.size))
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * scale)


def mixed() -> tuple[onnx.ModelProto, networks.Array]:
    """Return a network of layers that can be sparse, w and d, among others that cannot, and an input."""
    first, second = Conv(1, 3, 12, 12, 20, (3, 3), padding=(1, 1, 1, 1)), Conv(1, 20, 6, 6, 20, (3, 3), groups=20)
    weights = {"w": pruned(first, 0.8), "d": pruned(second, 0.5), "s": networks.random([1, 20, 1, 1]),
               "m": networks.random([1, 1, 4, 4])}  # fmt: skip
    nodes = [
        networks.conv_node(first, ["x", "w"], "a"),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        networks.conv_node(second, ["b", "d"], "c"),
        helper.make_node("Mul", ["c", "s"], ["e"]),
        helper.make_node("Add", ["e", "m"], ["f"]),
        helper.make_node("Concat", ["f", "c"], ["g"], axis=1),
        helper.make_node("GlobalAveragePool", ["g"], ["y"]),
    ]
    return networks.model(nodes, networks.shape_of(first), weights), networks.random(networks.shape_of(first))


def check(conv: Conv, sparsity: float, algorithm: str) -> None:
    """Run a `case` on this machine."""
    network, data, expected = case(conv, sparsity)
    compiled = dlas_ops.compile(network, networks.target(), algorithm=algorithm, format="csr")
    assert [layer.ran for layer in compiled.layers] == [f"{algorithm}/csr"] * 2
    compare(networks.run(compiled, data), expected, conv)


def test_a_task_of_one_filter_splits_its_own_input() -> None:
    """The loops that split the input stand inside those that sum: their indices are of one type."""
    check(Conv(1, 1, 7, 37, 1, (1, 1), stride=(2, 1)), 0.0, "direct")


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_drawn_shapes(algorithm: str, examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(convolutions(), SPARSITIES)
    def cases(conv: Conv, sparsity: float) -> None:
        check(conv, sparsity, algorithm)

    cases()


@pytest.mark.nightly
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_many_drawn_shapes(algorithm: str) -> None:
    @settings(SETTINGS, max_examples=2000, derandomize=False)
    @given(convolutions(), SPARSITIES)
    def cases(conv: Conv, sparsity: float) -> None:
        check(conv, sparsity, algorithm)

    cases()


@pytest.mark.parametrize(("conv", "algorithm"), crossed(MAPS, ALGORITHMS))
def test_maps_of_every_size(conv: Conv, algorithm: str) -> None:
    check(conv, 0.7, algorithm)


@pytest.mark.parametrize(("algorithm", "sparse"), crossed(ALGORITHMS, ["w", "d", ""]))
def test_sparse_and_dense_layers_mix(algorithm: str, sparse: str) -> None:
    """Pools, a dense convolution, a concatenation and a scaling by channel take the sparse layers' layout and back."""
    network, data = mixed()
    compiled = dlas_ops.compile(network, networks.target(), algorithm={sparse: f"{algorithm}/csr"})
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(network, data), 1e-5)


def test_the_account_says_what_runs_sparse() -> None:
    choices = {"": "direct", "w": "gemm/csr"}
    [layer] = dlas_ops.lower(networks.one_layer(LARGE, pruned(LARGE, 0.9)), networks.target(), algorithm=choices).layers
    assert (layer.asked, layer.ran, layer.reason) == ("gemm/csr", "gemm/csr", "")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_grouped_convolution_is_a_sparser_matrix(algorithm: str) -> None:
    conv = Conv(1, 32, 9, 9, 32, (3, 3), padding=(1, 1, 1, 1), groups=32)
    lowered = dlas_ops.lower(
        networks.one_layer(conv, pruned(conv, 0.5)), networks.target(), algorithm=algorithm, format="csr"
    )
    assert [layer.ran for layer in lowered.layers] == [f"{algorithm}/csr"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_artifact_shrinks_with_sparsity(algorithm: str, tmp_path: Path) -> None:
    sizes = {}
    for sparsity in (0.0, 0.5, 0.9, 1.0):
        network = networks.one_layer(LARGE, pruned(LARGE, sparsity))
        library = dlas_ops.compile(network, networks.target(), algorithm=algorithm, format="csr").library
        library.export_library(str(tmp_path / "network.tar"))
        with tarfile.open(tmp_path / "network.tar") as archive:
            sizes[sparsity] = sum(member.size for member in archive.getmembers())
    matrix = Asked(algorithm, "csr").sparse_module.pack(pruned(LARGE, 0.0), LARGE, describe_cpu(networks.target()))
    assert matrix.indices.itemsize <= 2
    stored = LARGE.out_channels * LARGE.in_channels * 9 * (4 + matrix.indices.itemsize)
    assert sizes[0.0] - sizes[1.0] == pytest.approx(stored, rel=0.05)
    assert sizes[0.0] - sizes[0.5] == pytest.approx(stored * 0.5, rel=0.05)
    assert sizes[0.0] - sizes[0.9] == pytest.approx(stored * 0.9, rel=0.05)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_code_is_the_same_for_every_pattern(algorithm: str) -> None:
    """Patterns with as many non-zeros give programs that differ in nothing."""
    programs = []
    for seed in (0, 1):
        weight = np.zeros(LARGE.out_channels * LARGE.in_channels * 9, np.float32)
        weight[np.random.default_rng(seed).permutation(len(weight))[:500]] = 1 + seed
        network = networks.one_layer(LARGE, weight.reshape(LARGE.out_channels, LARGE.in_channels, 3, 3))
        lowered = dlas_ops.lower(network, networks.target(), algorithm=algorithm, format="csr")
        programs += [f for f in lowered.module.functions.values() if "gemm" in str(f) or "direct" in str(f)
                     or "spatial_pack" in str(f)]  # fmt: skip
    programs = [function for function in programs if isinstance(function, tvm.tirx.PrimFunc)]
    assert len(programs) == 2
    tvm.ir.assert_structural_equal(*programs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_choice_computes_the_same(algorithm: str) -> None:
    weight, data = pruned(LARGE, 0.8), networks.random(networks.shape_of(LARGE))
    lowered = dlas_ops.lower(networks.one_layer(LARGE, weight), networks.target(), algorithm=algorithm, format="csr")
    expected = reference.conv2d(data, weight, LARGE)
    [(program, space)] = spaces(lowered.module, networks.target()).items()
    assert {"filters", "unroll", "vectors"} == set(space)
    for name, values in space.items():
        assert len(values) == len(set(values))
        for value in values[1::3]:
            chosen = schedule_function(lowered.module[program], describe_cpu(networks.target()), {name: value})
            library = build(lowered, networks.target(), {program: chosen}).library
            networks.assert_close(networks.run_library(library, data), expected, 1e-5)


def gated(side: int, gate: str = "Sigmoid", groups: int = 1, shifted: bool = False) -> onnx.ModelProto:
    """Return a network whose second convolution, of one point, gates the map of the first one and may shift it."""
    points = Conv(1, 8, side, side, 24, (1, 1)), Conv(1, 24, 1, 1, 24, (1, 1), groups=groups)
    first, second = (pruned(conv, 0.5, seed) for seed, conv in enumerate(points))
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node("Conv", ["mean", "second"], ["sums"], group=groups),
        helper.make_node(gate, ["sums"], ["gate"]),
        helper.make_node("Mul", ["gate", "map"], ["product" if shifted else "y"]),
        *([helper.make_node("Add", ["product", "sums"], ["y"])] if shifted else []),
    ]
    return networks.model(nodes, (1, 8, side, side), {"first": first, "second": second})


def copies(function: PrimFunc) -> int:
    """Return the largest number of times that a program has the statement of a block, by loops that are unrolled."""
    return max(prod(map(int, re.findall(r"unrolled (\d+)", loops))) for loops in nests(function).values())


@pytest.mark.parametrize(("algorithm", "side"), crossed(ALGORITHMS, [7, 20]))
def test_a_gate_is_computed_once_and_its_map_is_not_unrolled(algorithm: str, side: int) -> None:
    network, data = gated(side), networks.random((1, 8, side, side))
    lowered = dlas_ops.lower(network, networks.target(), algorithm=algorithm, format="csr")
    assert [layer.ran for layer in lowered.layers if layer.weight] == [f"{algorithm}/csr"] * 2
    programs = schedule(lowered.module, networks.target()).functions.values()
    assert max(copies(each) for each in programs if isinstance(each, tvm.tirx.PrimFunc)) <= 32
    output = networks.run_library(build(lowered, networks.target()).library, data)
    networks.assert_close(output, networks.run_onnxruntime(network, data), 1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_saved_network_builds_alike(algorithm: str, tmp_path: Path) -> None:
    weight, data = pruned(LARGE, 0.9), networks.random(networks.shape_of(LARGE))
    lowered = dlas_ops.lower(networks.one_layer(LARGE, weight), networks.target(), algorithm=algorithm, format="csr")
    dlas_ops.save(lowered, tmp_path)
    loaded: Lowered = dlas_ops.load(tmp_path)
    actual = networks.run_library(build(loaded, networks.target()).library, data)
    networks.assert_close(actual, reference.conv2d(data, weight, LARGE), 1e-5)


@pytest.mark.parametrize(("algorithm", "mcpu"), crossed(ALGORITHMS, ["x86-64-v3", "x86-64-v2"]))
def test_narrower_vectors_are_right(mcpu: str, algorithm: str) -> None:
    if networks.NEEDED[mcpu] not in networks.x86_flags():
        pytest.skip(f"this processor has no {networks.NEEDED[mcpu]}")
    target = named(mcpu)
    wide = Conv(1, 3, 4, 240, 5, (3, 3), (1, 2), (1, 1, 1, 1))  # a row does not fit the registers
    for conv in (LARGE, wide, Conv(2, 19, 13, 11, 40, (3, 3), (2, 1), (1, 1, 1, 1))):
        weight, data = pruned(conv, 0.8), networks.random(networks.shape_of(conv))
        compiled = dlas_ops.compile(networks.one_layer(conv, weight), target, algorithm=algorithm, format="csr")
        networks.assert_close(networks.run(compiled, data), reference.conv2d(data, weight, conv), 1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_builds_for_arm(algorithm: str, tmp_path: Path) -> None:
    target = named("cortex-a72", cores=4)
    library = dlas_ops.compile(
        networks.one_layer(LARGE, pruned(LARGE, 0.9)), target, algorithm=algorithm, format="csr"
    ).library
    library.export_library(str(tmp_path / "network.tar"))
    assert (tmp_path / "network.tar").stat().st_size > 0
