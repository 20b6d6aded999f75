"""Pooling: what the schedules make of the definitions on named processors; `test_operators` has the numbers."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.kernels.operators import pooling
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import describe
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program, scheduled

CONV = Conv(1, 32, 8, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=32)


def mean(mcpu: str) -> PrimFunc:
    """Return the mean over a map of 32 channels, in blocks of one vector of them."""
    cpu = describe(named(mcpu))
    data = tvm.te.placeholder((1, 32 // cpu.lanes(), 8, 8, cpu.lanes()), "float32")
    return tvm.te.create_prim_func([data, pooling.mean(data, 32, cpu)])


# Processor → the loops of more than one step around every block, as defined and as scheduled.
NESTS = {
    "znver4": (
        {
            "padded": "2, 10, 10, 16",
            "max_pool": "2, 8, 8, 16, 3, 3",
            "output": "2, 8, 8, 16",
        },
        {
            "padded": "2, 10, 10, vector 16",
            "max_pool_init": "2, 4, unrolled 2, unrolled 8, vector 16",
            "max_pool_update": "2, 4, unrolled 3, unrolled 3, unrolled 2, unrolled 8, vector 16",
            "output": "2, 4, unrolled 2, unrolled 8, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "padded": "4, 10, 10, 8",
            "max_pool": "4, 8, 8, 8, 3, 3",
            "output": "4, 8, 8, 8",
        },
        {
            "padded": "4, 10, 10, vector 8",
            "max_pool_init": "4, 8, unrolled 8, vector 8",
            "max_pool_update": "4, 8, unrolled 3, unrolled 3, unrolled 8, vector 8",
            "output": "4, 8, unrolled 8, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", NESTS)
def test_windows_slide_as_those_of_a_depthwise_convolution(mcpu: str) -> None:
    """The whole window is unrolled around a tile of points, a vector of channels each."""
    defined = program(mcpu, CONV, str(describe(named(mcpu)).lanes()), "max_pool2d")
    before, after = NESTS[mcpu]
    assert nests(defined) == before
    assert nests(scheduled(defined, mcpu)) == after


MEANS = {
    "znver4": (
        {
            "mean": "2, 16, 8, 8",
            "output": "32",
        },
        {
            "mean_init": "2, vector 16",
            "mean_update": "2, 8, 8, vector 16",
            "output": "2, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "mean": "4, 8, 8, 8",
            "output": "32",
        },
        {
            "mean_init": "4, vector 8",
            "mean_update": "4, 8, 8, vector 8",
            "output": "4, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", MEANS)
def test_means_sum_a_vector_of_channels(mcpu: str) -> None:
    before, after = MEANS[mcpu]
    assert nests(mean(mcpu)) == before
    assert nests(scheduled(mean(mcpu), mcpu)) == after
