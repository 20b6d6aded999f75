"""Descriptions of GPUs for schedules."""

from __future__ import annotations

from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.gpus import KIB, describe_gpu

HOST = {"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 6}


@pytest.mark.parametrize(
    ("fields", "vector", "threads", "warp", "shared_kib"),
    [
        ({"kind": "opencl", "device": "mali"}, 4, 64, 16, 0),
        ({"kind": "opencl", "device": "mali-bifrost"}, 4, 64, 8, 0),
        ({"kind": "opencl", "device": "adreno"}, 4, 128, 64, 16),  # TVM takes 16 KiB if not told
        ({"kind": "opencl", "device": "adreno", "max_shared_memory_per_block": 64 * KIB}, 4, 128, 64, 32),
        ({"kind": "opencl"}, 4, 64, 16, 0),
        ({"kind": "opencl", "device": "adreno", "max_num_threads": 32}, 4, 32, 32, 16),
        ({"kind": "opencl", "device": "adreno", "max_shared_memory_per_block": 8 * KIB}, 4, 128, 64, 8),
        ({"kind": "cuda", "arch": "sm_72"}, 4, 256, 32, 48),
        ({"kind": "cuda", "arch": "sm_90"}, 4, 256, 32, 48),
    ],
)
def test_describes_gpus(fields: dict[str, Any], vector: int, threads: int, warp: int, shared_kib: int) -> None:
    gpu = describe_gpu(tvm.target.Target({**fields, "host": HOST}))
    assert (gpu.lanes(), gpu.threads, gpu.warp, gpu.shared_bytes) == (vector, threads, warp, shared_kib * KIB)


def test_a_processor_that_runs_opencl_computes_with_the_vectors_of_its_host() -> None:
    target = tvm.target.Target({"kind": "opencl", "device": "pocl", "host": HOST})
    gpu, cpu = describe_gpu(target), describe_cpu(target.host)
    assert (gpu.lanes(), gpu.sums, gpu.units) == (cpu.lanes(), cpu.tile_registers, 6)
    assert (gpu.threads, gpu.shared_bytes) == (1, 0)
