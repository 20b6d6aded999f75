"""`direct`: how its weights are packed, and what its schedule makes of the definition on named processors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops.kernels.algorithms import direct
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS, weights
from tests.dlas_ops.tensor_programs import program, scheduled

CONV = Conv(1, 32, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))

# Processor → the loops of more than one step around every block, as defined and as scheduled.
NESTS = {
    "znver4": (
        {
            "padded": "10, 10, 32",
            "direct": "8, 8, 64, 3, 3, 32",
            "output": "8, 8, 64",
            "T_add": "8, 8, 64",
            "compute": "8, 8, 64",
        },
        {
            "padded": "10, 10, 2, vector 16",
            "direct_init": "parallel 8, 2, unrolled 4, unrolled 2, unrolled 2, vector 16",
            "direct_update": "parallel 8, 2, 3, 3, 32, unrolled 4, unrolled 2, unrolled 2, vector 16",
            "compute": "parallel 8, 2, unrolled 4, unrolled 2, unrolled 2, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "padded": "10, 10, 32",
            "direct": "8, 8, 64, 3, 3, 32",
            "output": "8, 8, 64",
            "T_add": "8, 8, 64",
            "compute": "8, 8, 64",
        },
        {
            "padded": "10, 10, 4, vector 8",
            "direct_init": "parallel 16, 4, unrolled 2, unrolled 2, unrolled 2, vector 8",
            "direct_update": "parallel 16, 4, 3, 3, 32, unrolled 2, unrolled 2, unrolled 2, vector 8",
            "compute": "parallel 16, 4, unrolled 2, unrolled 2, unrolled 2, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", NESTS)
def test_a_tile_of_sums_is_held_in_registers(mcpu: str) -> None:
    """Tiles run in parallel; in one, the reduction is around an unrolled tile of vectors, its epilogue behind it."""
    defined = program(mcpu, CONV, "direct/dense")
    before, after = NESTS[mcpu]
    assert nests(defined) == before
    assert nests(scheduled(defined, mcpu)) == after


@settings(SETTINGS, max_examples=25)
@given(weights(), st.sampled_from(["x86-64-v2", "znver4"]))
def test_packs_every_weight_where_the_definition_reads_it(weight: networks.Array, mcpu: str) -> None:
    outputs, inputs, height, width = weight.shape
    cpu = describe(named(mcpu))
    lanes = cpu.lanes()
    packed = direct.pack(weight, Conv(1, inputs, 8, 8, outputs, (height, width)), cpu)
    for o, i, h, w in np.ndindex(weight.shape):
        assert packed[o // lanes, h, w, i, o % lanes] == weight[o, i, h, w]
    assert np.abs(packed).sum() == pytest.approx(np.abs(weight).sum(), rel=1e-5)  # the rest is zeros


def test_refuses_grouped_convolutions() -> None:
    assert "direct" in str(direct.supports(Conv(1, 8, 9, 9, 8, (3, 3), groups=2), named("znver4")))
    assert direct.supports(CONV, named("znver4")) is None
