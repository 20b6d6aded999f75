"""Dense layer: how weights are packed, and what the schedule makes of the definition on named processors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.kernels.operators import dense
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS
from tests.dlas_ops.tensor_programs import scheduled


def layer(mcpu: str) -> PrimFunc:
    """Return a layer of 64 inputs and 160 outputs."""
    cpu = describe(named(mcpu))
    packed = dense.pack(np.zeros((64, 160), np.float32), cpu)
    data, weight = tvm.te.placeholder((1, 64), "float32"), tvm.te.placeholder(packed.shape, "float32")
    return tvm.te.create_prim_func([data, weight, dense.compute(data, weight, 160, cpu)])


# Processor → the loops of more than one step around every block, as defined and as scheduled.
NESTS = {
    "znver4": (
        {
            "dense": "10, 16, 64",
            "output": "160",
        },
        {
            "dense_init": "2, unrolled 5, vector 16",
            "dense_update": "2, 64, unrolled 5, vector 16",
            "dense_local": "2, unrolled 5, vector 16",
            "output": "10, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "dense": "20, 8, 64",
            "output": "160",
        },
        {
            "dense_init": "10, unrolled 2, vector 8",
            "dense_update": "10, 64, unrolled 2, vector 8",
            "dense_local": "10, unrolled 2, vector 8",
            "output": "20, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", NESTS)
def test_panels_are_summed_in_registers(mcpu: str) -> None:
    """Panels are unrolled inside the loop over inputs; the result is copied out in vectors."""
    defined = layer(mcpu)
    before, after = NESTS[mcpu]
    assert nests(defined) == before
    assert nests(scheduled(defined, mcpu)) == after


@settings(SETTINGS, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["x86-64-v2", "znver4"]))
def test_packs_outputs_in_vectors(inputs: int, outputs: int, mcpu: str) -> None:
    cpu = describe(named(mcpu))
    weight = networks.random((inputs, outputs))
    packed = dense.pack(weight, cpu)
    for i, o in np.ndindex(inputs, outputs):
        assert packed[o // cpu.lanes(), i, o % cpu.lanes()] == weight[i, o]
