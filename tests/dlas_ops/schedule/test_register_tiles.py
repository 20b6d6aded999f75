"""Register tiles of a convolution: what its weights take, and which loop is outside by that."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.algorithms import direct
from dlas_ops.kernels.scheduling import space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.dot import stored as stored_int8
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.register_tiles import partial_sums, weight_bytes
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

CASES = {"direct": Conv(1, 8, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1))}


@pytest.mark.parametrize("mcpu", ["sapphirerapids", "x86-64-v3"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_weights_count_as_they_are_stored(mcpu: str, dtype: str) -> None:
    conv, cpu = CASES["direct"], describe(named(mcpu))
    packed = direct.pack(networks.weights_of(conv).astype(dtype), conv, cpu)
    # Without arithmetic in float16, weights are stored in it and packed for arithmetic in float32.
    stored = dtype if dtype.startswith("float") else str(packed.dtype)
    data = tvm.te.placeholder((1, 1, conv.height, conv.width, 16), dtype if dtype != "int8" else stored_int8(cpu), "x")
    weight = tvm.te.placeholder(packed.shape, stored, "w")
    sch = tvm.s_tir.Schedule(tvm.te.create_prim_func([data, weight, direct.compute(conv, data, weight, cpu)]))
    block = sch.get_sblock("direct")
    assert weight_bytes(sch, partial_sums(sch, block) or block) == packed.astype(stored).nbytes


@pytest.mark.parametrize("mcpu", ["x86-64-v3", "znver4"])
def test_weights_beyond_the_cache_are_read_once(mcpu: str) -> None:
    """Small ones are read for every tile of points, so that the input is read once."""
    small, large = Conv(1, 32, 28, 28, 32, (3, 3)), Conv(1, 512, 28, 28, 512, (3, 3))
    for conv, first in ((small, "points"), (large, "channels")):
        assert space(program(mcpu, conv, "direct/dense"), describe(named(mcpu)))["outer"][0] == first
