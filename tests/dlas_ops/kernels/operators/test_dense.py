"""Dense layer: how weights are packed, what the schedule makes of the definition, and what it computes of any rank."""

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


def layer(mcpu: str, rows: tuple[int, ...], outputs: int) -> PrimFunc:
    """Return a layer of 64 inputs with its bias."""
    cpu = describe(named(mcpu))
    packed = dense.pack(np.zeros((64, outputs), np.float32), cpu)
    shapes = (*rows, 64), packed.shape, (outputs,)
    data, weight, bias = (tvm.te.placeholder(shape, "float32", name) for shape, name in zip(shapes, "xwb", strict=True))
    return tvm.te.create_prim_func([data, weight, bias, tvm.topi.add(dense.compute(data, weight, outputs, cpu), bias)])


# Processor, rows and outputs → the loops of more than one step around every block as scheduled.
NESTS = {
    "one row": (
        ("znver4", (1,), 160),
        {
            "product_init": "2, unrolled 5, vector 16",
            "product_update": "2, 64, unrolled 5, vector 16",
            "T_add": "2, unrolled 5, vector 16",
        },
    ),
    "tokens": (
        ("znver4", (2, 98), 160),
        {
            "product_init": "parallel 14, 5, unrolled 14, unrolled 2, vector 16",
            "product_update": "parallel 14, 5, 64, unrolled 14, unrolled 2, vector 16",
            "T_add": "parallel 14, 5, unrolled 14, unrolled 2, vector 16",
        },
    ),
    "outputs in no whole vectors": (
        ("x86-64-v3", (4, 6), 20),
        {
            "product_init": "parallel 6, unrolled 4, unrolled 3, vector 8",
            "product_update": "parallel 6, 64, unrolled 4, unrolled 3, vector 8",
            "product_local": "parallel 6, unrolled 4, unrolled 3, vector 8",
            "T_add": "24, 20",
        },
    ),
}


@pytest.mark.parametrize("case", NESTS)
def test_a_tile_of_rows_and_panels_is_summed_in_registers(case: str) -> None:
    """The tile is unrolled inside the loop over inputs; its epilogue runs on it in vectors, where these are whole."""
    (mcpu, rows, outputs), expected = NESTS[case]
    assert nests(scheduled(layer(mcpu, rows, outputs), mcpu)) == expected


@settings(SETTINGS, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["x86-64-v2", "znver4"]))
def test_packs_outputs_in_vectors(inputs: int, outputs: int, mcpu: str) -> None:
    cpu = describe(named(mcpu))
    weight = networks.random((inputs, outputs))
    packed = dense.pack(weight, cpu)
    unpacked = packed.transpose(1, 0, 2).reshape(inputs, -1)
    np.testing.assert_array_equal(unpacked[:, :outputs], weight)
    assert not unpacked[:, outputs:].any()
