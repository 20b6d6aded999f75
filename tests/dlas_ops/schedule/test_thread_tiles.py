"""Schedules for GPUs: what work-groups share, and which threads stand next to each other."""

from __future__ import annotations

import re

import pytest

from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.gpus import describe_gpu
from tests.dlas_ops import cuda, opencl
from tests.dlas_ops.tensor_programs import program, scheduled

ALGORITHMS = ["direct", "gemm", "spatial_pack", "winograd"]
CONVS = [
    Conv(1, 64, 28, 28, 64, (3, 3), padding=(1, 1, 1, 1)),
    Conv(2, 48, 9, 7, 96, (3, 3), (2, 2), (1, 1, 1, 1)),
    Conv(1, 3, 33, 33, 24, (7, 7), (2, 2), (3, 3, 3, 3)),
]


def shared_bytes(source: str) -> int:
    """Return what a work-group of the largest kernel of a CUDA C `source` shares."""
    kernels = source.split("__global__")[1:]
    return max(sum(4 * int(size) for size in re.findall(r"__shared__[^;]*\[(\d+)\]", text)) for text in kernels)


@pytest.mark.parametrize("conv", CONVS, ids=["same", "strided", "first"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_work_groups_share_fits_their_memory(algorithm: str, conv: Conv) -> None:
    target = cuda.target("sm_87")
    name = f"{algorithm}/dense"
    if algorithm == "winograd" and conv.stride != (1, 1):
        name = "direct/dense"
    taken = shared_bytes(cuda.source_of(scheduled(program(target, conv, name), target), "sm_87"))
    assert 0 < taken <= describe_gpu(target).shared_bytes


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_gpu_without_memory_of_its_own_for_work_groups_stages_nothing(algorithm: str) -> None:
    target = opencl.target("mali")
    function = scheduled(program(target, CONVS[0], f"{algorithm}/dense"), target)
    assert 'scope="shared"' not in function.script()
    assert 'scope="local"' in function.script()
