"""Kernels for CUDA: NVRTC compiles them for old and new chips, and no loop spills registers."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops._types import Target
from dlas_ops.kernels.scheduling import schedule
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.lowering import Lowered
from dlas_ops.processor.gpus import describe_gpu
from tests.dlas_ops import cuda, exported_networks
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.tensor_programs import program, scheduled
from tests.dlas_ops.test_int8 import CONVS, Case, dense_network

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
ARCHITECTURES = ["oldest", "sm_87", "sm_90"]
CONV = Conv(1, 64, 28, 28, 64, (3, 3), padding=(1, 1, 1, 1))


def architecture(name: str) -> str:
    return cuda.oldest() if name == "oldest" else name


@pytest.mark.parametrize(("algorithm", "name"), crossed(ALGORITHMS, ARCHITECTURES))
def test_an_algorithm_compiles_without_spills(algorithm: str, name: str) -> None:
    arch = architecture(name)
    target = cuda.target(arch)
    source = cuda.source_of(scheduled(program(target, CONV, f"{algorithm}/dense"), target), arch)
    kernels = cuda.compiled(source, arch)
    assert [kernel for kernel in kernels if kernel.spills_in_loops] == []
    assert len(kernels) == (3 if algorithm == "winograd" else 1)  # nothing is written to memory between


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_work_groups_stay_within_the_threads_of_the_description(algorithm: str) -> None:
    target = cuda.target("sm_87")
    source = cuda.source_of(scheduled(program(target, CONV, f"{algorithm}/dense"), target), "sm_87")
    bounds = [int(part.split(")")[0]) for part in source.split("__launch_bounds__(")[1:]]
    assert bounds
    assert max(bounds) <= describe_gpu(target).threads


@pytest.mark.parametrize(
    ("layer", "dtype"), crossed(["depthwise_conv2d", "grouped_conv2d", "dense"], ["float32", "float16", "int8"])
)
def test_other_layers_compile_without_spills(layer: str, dtype: str) -> None:
    target = cuda.target("sm_87")
    model = dense_network(1, 512, 10)[0] if layer == "dense" else Case(CONVS[layer]).model
    lowered = dlas_ops.lower(model, target, algorithm="direct", dtype=dtype)
    assert spilled(lowered, target, "sm_87") == {}


@pytest.mark.nightly
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("network", "size"), [("resnet18", 32), ("mobilenetv2", 32), ("vgg16", 32), ("efficientnet_b0", 224)]
)
def test_whole_networks_compile_without_spills(
    network: str, size: int, algorithm: str, name: str, tmp_path: Path
) -> None:
    arch = architecture(name)
    target = cuda.target(arch)
    exported_networks.export(tmp_path, size, network)
    lowered = dlas_ops.lower(onnx.load(tmp_path / f"{network}.onnx"), target, algorithm=algorithm)
    assert spilled(lowered, target, arch) == {}


def spilled(lowered: Lowered, target: Target, arch: str) -> dict[tuple[str, str], int]:
    """Return how often the kernels of a network spill in loops, by program and kernel, where they do."""
    found, kernels = {}, 0
    for variable, function in schedule(lowered.module, target).functions.items():
        if isinstance(function, tvm.tirx.PrimFunc):
            for kernel in cuda.compiled(cuda.source_of(function.with_attr("global_symbol", "main"), arch), arch):
                kernels += 1
                if kernel.spills_in_loops:
                    found[str(variable.name_hint), kernel.name] = kernel.spills_in_loops
    assert kernels > 1
    return found


def test_tvm_schedules_nothing_once_more() -> None:
    """Its rules for GPUs take a dense layer of several rows for a product of matrices, and fail on our schedule."""
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    network = networks.model([node], [32, 512], {"w": networks.random([10, 512])})
    library = dlas_ops.compile(network, cuda.target("sm_90"), algorithm="direct").library
    (host,) = library.mod.imports
    (kernels,) = host.imports
    assert "dense" in kernels.inspect_source("cuda")
