"""The programs that take a processor to its peaks: they compute what they say, in registers of the target's width."""

from __future__ import annotations

import numpy as np
import pytest

from dlas_ops import peaks
from dlas_ops._tvm import tvm
from dlas_ops.passes.eviction import LINE
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.targets import native_target
from tests.dlas_ops.named_targets import named

HERE = tvm.target.Target(native_target())


@pytest.mark.parametrize("threads", [1, 2])
def test_each_product_is_summed_as_often_as_it_says(threads: int) -> None:
    shapes = [shape for shape, _ in peaks.arithmetic(HERE, threads)]
    drawn = np.random.default_rng(threads)
    # Whole numbers, whose sums float32 holds exactly.
    left, right = (drawn.integers(-2, 3, shape).astype(np.float32) for shape in shapes[:2])
    sums = tvm.runtime.empty(shapes[2], "float32")
    peaks.build(HERE).jit()["arithmetic"](tvm.runtime.tensor(left), tvm.runtime.tensor(right), sums)
    assert np.array_equal(sums.numpy(), peaks.AGAIN * np.einsum("pki,pkj->pij", left, right))
    assert peaks.flop(HERE, threads) == 2 * peaks.AGAIN * peaks.INNER * sums.numpy().size


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_is_read_to_its_last_line(threads: int) -> None:
    (shape, _), (sums_shape, _) = peaks.memory(1 << 20, threads)
    assert (1 << 20) - 4 * LINE * threads < 4 * np.prod(shape) <= 1 << 20
    memory = np.random.default_rng(0).integers(-9, 10, shape).astype(np.float32)
    sums = tvm.runtime.empty(sums_shape, "float32")
    peaks.build(HERE).jit()["memory"](tvm.runtime.tensor(memory), sums)
    assert np.array_equal(sums.numpy(), memory.sum(axis=1))


@pytest.mark.parametrize("mcpu", ["x86-64-v2", "x86-64-v3", "znver4", "cortex-a72"])
def test_the_sums_fill_registers_of_the_target(mcpu: str) -> None:
    target = named(mcpu)
    cpu = describe_cpu(target)
    (_, rows, lanes), _ = peaks.arithmetic(target, 1)[2]
    assert rows * lanes // cpu.lanes() + 3 <= cpu.vector_registers, "with two vectors and a broadcast value"
    assert rows * lanes // cpu.lanes() >= cpu.latency * cpu.multiply_adds
