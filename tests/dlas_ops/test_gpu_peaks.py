"""The programs that take a GPU to its peaks: they compute what they say, and fit each family's registers and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlas_ops import gpu_peaks
from dlas_ops._tvm import tvm
from dlas_ops.processor.gpus import describe_gpu
from dlas_ops.processor.targets import native_target
from tests import opencl


def of(**target: Any) -> Any:
    return tvm.target.Target({**target, "host": native_target()})


POCL = of(kind="opencl", device="pocl")
TARGETS = [POCL, of(kind="opencl", device="mali"), of(kind="opencl", device="adreno"), of(kind="cuda", arch="sm_87")]


@opencl.needed
def test_each_chain_is_multiplied_and_added_to() -> None:
    gpu, ((shape, _), _) = tvm.device("opencl", 0), gpu_peaks.arithmetic(POCL)
    added = np.random.default_rng(0).integers(-9, 10, shape).astype(np.float32)
    chains = tvm.runtime.empty(shape, "float32", gpu)
    gpu_peaks.build(POCL).jit()["arithmetic"](tvm.runtime.tensor(added, gpu), chains)
    assert np.array_equal(chains.numpy(), added / (1 - gpu_peaks.FACTOR)), "the limit of so many steps"


@opencl.needed
def test_memory_is_read_to_its_last_line() -> None:
    gpu, ((shape, _), (sums_shape, _)) = tvm.device("opencl", 0), gpu_peaks.memory(POCL, 1 << 20)
    memory = np.random.default_rng(0).integers(-9, 10, shape).astype(np.float32)
    sums = tvm.runtime.empty(sums_shape, "float32", gpu)
    gpu_peaks.build(POCL).jit()["memory"](tvm.runtime.tensor(memory, gpu), sums)
    assert np.array_equal(sums.numpy(), memory.sum(axis=1))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.attrs.get("device", "cuda")))
def test_the_programs_fit_the_gpu(target: Any) -> None:
    gpu = describe_gpu(target)
    (groups, threads, vectors, vector), dtype = gpu_peaks.arithmetic(target)[0]
    assert (threads, vector, dtype) == (gpu.threads, gpu.vector, "float32")
    assert groups > gpu.units
    assert 2 * vectors <= gpu.sums
    assert gpu_peaks.flop(target) == 2 * groups * threads * vectors * vector * gpu_peaks.AGAIN
    (shape, _), _ = gpu_peaks.memory(target, 1 << 28)
    line = 4 * groups * threads * vector
    assert (1 << 28) - line < 4 * np.prod(shape) <= 1 << 28
    source = gpu_peaks.build(target).mod.imports[0].inspect_source()
    assert "arithmetic_kernel(" in source
    assert "memory_kernel(" in source
