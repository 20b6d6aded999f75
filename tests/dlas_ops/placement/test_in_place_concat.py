"""Concatenations that extend one another, written in place, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.onnx.batching import with_batch
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed

ALGORITHMS = ["direct", "gemm", "spatial_pack"]


def dense_block(first: int, growth: int, layers: int, independent: bool = False) -> onnx.ModelProto:
    """Return a dense block: every layer convolves, after a ReLU, all that came before it.

    If `independent`, layers read the first part only, so that all of them could run before any concatenation.
    """
    size = 5
    stem = Conv(1, 3, size, size, first, (1, 1))
    nodes = [networks.conv_node(stem, ["x", "w0"], "c0")]
    weights = {"w0": networks.weights_of(stem)}
    for i in range(1, layers + 1):
        parts = [f"c{j}" for j in range(i)]
        nodes.append(helper.make_node("Concat", parts, [f"all{i}"], axis=1))
        nodes.append(helper.make_node("Relu", [f"all{i}"], [f"r{i}"]))
        channels = first if independent else first + (i - 1) * growth
        conv = Conv(1, channels, size, size, growth, (3, 3), padding=(1, 1, 1, 1))
        nodes.append(networks.conv_node(conv, ["c0" if independent else f"r{i}", f"w{i}"], f"c{i}"))
        weights[f"w{i}"] = 0.2 * networks.weights_of(conv, seed=i)
    # Every concatenation is still needed at the end, after all that was written behind it.
    sums = [helper.make_node("GlobalAveragePool", [f"r{i}"], [f"s{i}"]) for i in range(1, layers + 1)]
    return networks.model(
        [*nodes, *sums, helper.make_node("Concat", [f"s{i}" for i in range(1, layers + 1)], ["y"], axis=1)],
        networks.shape_of(stem), weights,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "independent", "algorithm"), crossed([(64, 32), (48, 16), (21, 10)], [False, True], ALGORITHMS)
)
def test_agrees_with_onnxruntime(channels: tuple[int, int], independent: bool, algorithm: str) -> None:
    model, data = dense_block(*channels, 4, independent), networks.random((1, 3, 5, 5))
    compiled = dlas_ops.compile(model, networks.target(), algorithm=algorithm)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(model, data))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_floats_grow_behind_zeros(dtype: str) -> None:
    """The last places of the tensor that holds all parts are zero at first, in whole vectors."""
    model, data = dense_block(64, 32, 4), networks.random((1, 3, 5, 5))
    compiled = dlas_ops.compile(model, networks.target(), algorithm="direct", dtype=dtype)
    networks.assert_close(networks.run(compiled, data), networks.run_onnxruntime(model, data), 0.02)


@pytest.mark.parametrize(
    "algorithm", ["direct", *(pytest.param(name, marks=pytest.mark.nightly) for name in ALGORITHMS[1:])]
)
def test_several_images_grow_each_on_its_own(algorithm: str) -> None:
    """The parts of one image lie between those of the next one's."""
    model, data = dense_block(64, 32, 4), networks.random((3, 3, 5, 5))
    lowered = dlas_ops.lower(with_batch(model, 3), networks.target(), algorithm=algorithm)
    assert sum("write" in name for name in networks.calls(lowered.module)) == 3
    library = dlas_ops.build(lowered, networks.target()).library
    expected = np.concatenate([networks.run_onnxruntime(model, image[None]) for image in data])
    networks.assert_close(networks.run_library(library, data), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_part_is_copied_once(algorithm: str) -> None:
    layers = 5
    lowered = dlas_ops.lower(dense_block(64, 32, layers), networks.target(), algorithm=algorithm)
    operators = [
        str(getattr(getattr(binding.value, "op", None), "name", ""))
        for block in lowered.module["main"].body.blocks
        for binding in block.bindings
    ]
    assert operators.count("relax.call_tir_inplace") == layers - 1


def test_runs_leave_nothing_behind() -> None:
    """The memory that grows in place is used again by the next run."""
    compiled = dlas_ops.compile(dense_block(64, 32, 4), networks.target(), algorithm="spatial_pack")
    machine = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())
    first, second = (tvm.runtime.tensor(networks.random((1, 3, 5, 5), seed)) for seed in (1, 2))
    expected = machine["main"](first).numpy()
    machine["main"](second)
    networks.assert_close(machine["main"](first).numpy(), expected, tolerance=0)


def test_saved_and_loaded(tmp_path: Path) -> None:
    model, data = dense_block(64, 32, 4), networks.random((1, 3, 5, 5))
    dlas_ops.save(dlas_ops.lower(model, networks.target(), algorithm="direct"), tmp_path)
    library = dlas_ops.build(dlas_ops.load(tmp_path), networks.target()).library
    networks.assert_close(networks.run_library(library, data), networks.run_onnxruntime(model, data))
