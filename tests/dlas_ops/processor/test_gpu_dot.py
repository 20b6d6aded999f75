"""Instructions of GPUs for int8; that they are exact, see ``kernels/test_gpu_schedules.py``."""

from __future__ import annotations

import pytest

from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import cuda
from tests.dlas_ops.tensor_programs import program, scheduled

CONV = Conv(1, 32, 14, 14, 64, (3, 3), padding=(1, 1, 1, 1))


@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack"])
def test_cuda_multiplies_four_at_a_time_and_compiles(algorithm: str) -> None:
    target = cuda.target("sm_87")
    function = scheduled(program(target, CONV, f"{algorithm}/dense", dtype="int8"), target)
    source = cuda.source_of(function, "sm_87")
    assert "__dp4a" in source
    assert all(kernel.spills_in_loops == 0 for kernel in cuda.compiled(source, "sm_87"))
