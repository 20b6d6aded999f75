"""`spatial_pack` for CSR weights: what its schedule makes of the definition on named processors."""

from __future__ import annotations

import pytest

from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops.loop_nests import nests
from tests.dlas_ops.tensor_programs import program, scheduled

CONV = Conv(1, 32, 8, 8, 64, (3, 3), padding=(1, 1, 1, 1))

# Processor → the loops of more than one step around every block, as defined and as scheduled.
NESTS = {
    "znver4": (
        {
            "bordered": "32, 12, 10",
            "packed": "7680",
            "spatial_pack": "8",
            "output": "64, 64",
            "T_add": "64, 64",
            "compute": "64, 64",
        },
        {
            "bordered": "384, 10",
            "packed": "96, 10, vector 8",
            "spatial_pack": "parallel 8",
            "compute": "parallel 8, 8, unrolled 4, vector 16",
        },
    ),
    "x86-64-v3": (
        {
            "bordered": "32, 12, 10",
            "packed": "7680",
            "spatial_pack": "8",
            "output": "64, 64",
            "T_add": "64, 64",
            "compute": "64, 64",
        },
        {
            "bordered": "384, 10",
            "packed": "96, 10, vector 8",
            "spatial_pack": "parallel 8",
            "compute": "parallel 8, 8, unrolled 8, vector 8",
        },
    ),
}


@pytest.mark.parametrize("mcpu", NESTS)
def test_tasks_run_in_parallel_and_their_epilogue_in_vectors(mcpu: str) -> None:
    """The repacked input is copied in vectors; an epilogue follows its task."""
    defined = program(mcpu, CONV, "spatial_pack/csr", density=0.1)
    before, after = NESTS[mcpu]
    assert nests(defined) == before
    assert nests(scheduled(defined, mcpu)) == after
