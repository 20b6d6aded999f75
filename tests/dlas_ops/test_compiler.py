"""What the compiler refuses, and that a lowered network is saved whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import tvm_ffi

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named

CONV = Conv(1, 8, 6, 6, 16, (3, 3))
NETWORK = networks.model(
    [networks.conv_node(CONV, ["x", "w"], "y")], networks.shape_of(CONV), {"w": networks.weights_of(CONV)}
)


def test_refuses_dtypes_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="dtype bfloat16 is not implemented; there are float32, float16, int8"):
        dlas_ops.lower(NETWORK, named("znver4"), algorithm="direct", dtype="bfloat16")


def test_int8_needs_scales() -> None:
    with pytest.raises(ValueError, match="int8 needs calibration images, or a QDQ model"):
        dlas_ops.lower(NETWORK, named("znver4"), algorithm="direct", dtype="int8")


@pytest.mark.parametrize("mcpu", ["x86-64-v3", "znver4", "cortex-a72"])
def test_a_lowered_network_is_the_same_when_loaded(mcpu: str, tmp_path: Path) -> None:
    lowered = dlas_ops.lower(NETWORK, named(mcpu), algorithm="spatial_pack")
    dlas_ops.save(lowered, tmp_path)
    loaded = dlas_ops.load(tmp_path)
    assert tvm_ffi.structural_equal(lowered.module, loaded.module, map_free_vars=True)
    assert loaded.layers == lowered.layers
    assert isinstance(dlas_ops.build(loaded, named(mcpu)), tvm.runtime.Executable)
