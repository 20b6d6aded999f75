"""Convolutions with weights in CSR on GPUs: against the NumPy reference, what a thread sums, and what it takes."""

from __future__ import annotations

from dataclasses import astuple
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlas_ops
from dlas_ops._types import Target
from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.scheduling import space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse.thread_sums import points_of
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.gpus import describe_gpu
from dlas_ops.selection.candidates import programs
from tests.dlas_ops import cuda, opencl
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed
from tests.dlas_ops.kernels.sparse.test_sparse import LARGE, MAPS, SPARSITIES, case, compare, gated, mixed
from tests.dlas_ops.kernels.test_gpu_operators import AROUND_DENSE
from tests.dlas_ops.operator_cases import CASES, after_convolution
from tests.dlas_ops.reference_checks import TOLERANCES
from tests.dlas_ops.shapes import SETTINGS, convolutions
from tests.dlas_ops.tensor_programs import program, scheduled

ALGORITHMS = ["direct", "gemm"]
# Cases that a test draws: every time, and nightly. PoCL takes some seconds to compile one.
EXAMPLES = [2, pytest.param(50, marks=pytest.mark.nightly)]
POINTWISE = Conv(1, 64, 14, 14, 64, (1, 1))
SMALL = Conv(1, 16, 7, 7, 64, (3, 3), padding=(1, 1, 1, 1))


def check(conv: Conv, sparsity: float, algorithm: str, device: str) -> None:
    network, data, expected = case(conv, sparsity)
    target = opencl.target(device)
    lowered = dlas_ops.lower(network, target, algorithm=algorithm, format="csr")
    assert [layer.ran for layer in lowered.layers] == [f"{algorithm}/csr"] * 2
    compare(opencl.run(lowered, target, data), expected, conv)


@pytest.mark.slow
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("device", "algorithm"), crossed(opencl.FAMILIES, ALGORITHMS))
def test_a_gate_is_computed_once(device: str, algorithm: str, shifted: bool) -> None:
    network, data, target = gated(7, shifted=shifted), networks.random((1, 8, 7, 7)), opencl.target(device)
    lowered = dlas_ops.lower(network, target, algorithm=algorithm, format="csr")
    assert [layer.ran for layer in lowered.layers if layer.weight] == [f"{algorithm}/csr"] * 2
    networks.assert_close(opencl.run(lowered, target, data), networks.run_onnxruntime(network, data), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("device", "algorithm"), crossed(opencl.FAMILIES, ALGORITHMS))
@pytest.mark.parametrize("examples", EXAMPLES)
def test_drawn_shapes(device: str, algorithm: str, examples: int) -> None:
    opencl.device()

    @settings(SETTINGS, max_examples=examples)
    @given(convolutions(), SPARSITIES)
    def cases(conv: Conv, sparsity: float) -> None:
        check(conv, sparsity, algorithm, device)

    cases()


@pytest.mark.slow
@pytest.mark.parametrize(("conv", "algorithm"), crossed(MAPS, ALGORITHMS))
def test_maps_of_every_size(conv: Conv, algorithm: str) -> None:
    check(conv, 0.7, algorithm, "pocl" if conv.batch == 1 else "mali")


@pytest.mark.parametrize(("algorithm", "sparse"), crossed(ALGORITHMS, ["w", ""]))
def test_sparse_and_dense_layers_mix(algorithm: str, sparse: str) -> None:
    """The account says csr where csr runs: in the layer `sparse` or, where that is "", in all."""
    network, data = mixed()
    target = opencl.target("mali")
    lowered = dlas_ops.lower(network, target, algorithm={"": "direct", sparse: f"{algorithm}/csr"})
    networks.assert_close(opencl.run(lowered, target, data), networks.run_onnxruntime(network, data), 1e-5)
    ran = {layer.name: layer.ran for layer in lowered.layers}
    assert ran["w"] == f"{algorithm}/csr"
    assert ran["d"] == ("depthwise/dense" if sparse else f"{algorithm}/csr")


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.nightly if case in AROUND_DENSE else ()) for case in CASES]
)
def test_operators_follow_in_the_sparse_layers_layout(case: str) -> None:
    network = after_convolution(*CASES[case])
    data = networks.random([size.dim_value for size in network.graph.input[0].type.tensor_type.shape.dim])
    target = opencl.target("adreno")
    lowered = dlas_ops.lower(network, target, algorithm="direct", format="csr")
    networks.assert_close(opencl.run(lowered, target, data), networks.run_onnxruntime(network, data), 1e-5)
    assert all(layer.ran == "direct/csr" for layer in lowered.layers if layer.operator == "conv2d")


@pytest.mark.parametrize(
    ("algorithm", "dtype", "reason"),
    [
        ("spatial_pack", "float32", "spatial_pack/csr has programs for CPUs only: the weights are stored dense"),
        ("winograd", "float32", "winograd does not implement format csr: its weights are stored dense"),
        ("direct", "int8", "direct/csr does not implement int8"),
    ],
)
def test_what_has_no_program_runs_dense(algorithm: str, dtype: str, reason: str) -> None:
    network, data = networks.one_layer(LARGE), networks.random(networks.shape_of(LARGE))
    lowered = dlas_ops.lower(
        network, opencl.target("mali"), algorithm=algorithm, format="csr", dtype=dtype,
        calibration=data if dtype == "int8" else None,
    )  # fmt: skip
    [layer] = [layer for layer in lowered.layers if layer.operator == "conv2d"]
    assert (layer.asked, layer.ran, layer.reason) == (f"{algorithm}/csr", f"{algorithm}/dense", reason)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_float16_is_stored_and_summed_in_float32(algorithm: str) -> None:
    network, data, expected = case(SMALL, 0.7)
    target = opencl.target("mali")
    lowered = dlas_ops.lower(network, target, algorithm=algorithm, format="csr", dtype="float16")
    assert {(layer.ran, layer.dtype) for layer in lowered.layers} == {(f"{algorithm}/csr", "float16")}
    assert all(layer.arithmetic.startswith("float32") for layer in lowered.layers)
    if "cl_khr_fp16" not in opencl.device().context.devices[0].extensions:
        pytest.skip("the OpenCL device has no float16")
    scale = float(abs(expected).max())
    assert abs(opencl.run(lowered, target, data) - expected).max() < TOLERANCES["float16"] * scale


TARGETS = [*(opencl.target(device) for device in opencl.FAMILIES), cuda.target("sm_87"), cuda.target("sm_90")]


@settings(SETTINGS, max_examples=50)
@given(convolutions(), st.sampled_from(TARGETS), st.booleans())
def test_threads_share_out_all_points_once(conv: Conv, target: Target, vectors: bool) -> None:
    gpu = describe_gpu(target)
    points = points_of(conv, gpu, gpu.lanes() if vectors else 1)
    assert prod(astuple(points)) == points_innermost.pitch(conv.out_height * conv.out_width, gpu)
    assert points.threads <= gpu.threads
    assert points.threads >= gpu.warp or points.rounds * points.lanes <= gpu.lanes()
    every = [
        points.of(tile, round, thread) + lane
        for tile in range(points.tiles)
        for round in range(points.rounds)
        for thread in range(points.threads)
        for lane in range(points.lanes)
    ]
    assert every == list(range(len(every)))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("conv", [LARGE, SMALL, POINTWISE], ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_cuda_keeps_sums_in_registers(algorithm: str, conv: Conv, dtype: str) -> None:
    """One kernel copies, another one sums and runs the epilogue."""
    arch = cuda.oldest()
    target = cuda.target(arch)
    function = scheduled(program(target, conv, f"{algorithm}/csr", dtype=dtype, density=0.1), target)
    kernels = cuda.compiled(cuda.source_of(function, arch), arch)
    assert [kernel for kernel in kernels if kernel.spilled_bytes] == []
    assert len(kernels) == (1 if conv.is_pointwise else 2)


def test_a_work_group_has_the_threads_of_several_filters_where_these_are_few() -> None:
    target = cuda.target("sm_87")
    function, gpu = program(target, SMALL, "gemm/csr", density=0.1), describe_gpu(target)
    threads = points_of(SMALL, gpu, gpu.lanes()).threads
    assert threads == 13
    assert space(function, gpu) == {"filters": [16, 1, 2, 4, 8]}  # of 64, in at most 256 threads
    for filters in (16, 2):
        source = cuda.source_of(scheduled(function, target, {"filters": filters}), "sm_87")
        assert f"__launch_bounds__({filters * threads}) main_kernel_1(" in source


@pytest.mark.parametrize("algorithm", ["direct", pytest.param("gemm", marks=pytest.mark.nightly)])
def test_every_choice_computes_the_same(algorithm: str) -> None:
    target = opencl.target("adreno")
    problem = Problem("conv2d", SMALL, format="csr", density=0.3)
    function, weights = programs(problem, target)[f"{algorithm}/csr"]
    data, bias = (networks.random([int(size) for size in function.params[place].ty.shape]) for place in (0, 4))
    [(name, filters)] = space(function, describe_gpu(target)).items()
    outputs = [
        opencl.device().call(scheduled(function, target, {name: count}), target, [data, *weights, bias])[0]
        for count in filters
    ]
    assert len(outputs) == 4  # 13 threads for each of 1, 2, 4 and 8 filters
    assert outputs[0].max() > 0
    for output in outputs[1:]:
        networks.assert_close(output, outputs[0], 1e-6)
