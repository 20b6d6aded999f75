"""A network → its tensor programs: operators fused, dead ones gone, the account complete, all of it saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import tvm_ffi
from onnx import helper

import dlas_ops
from dlas_ops import lowering
from dlas_ops._tvm import tvm
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named

CONV = Conv(1, 16, 6, 6, 16, (3, 3), padding=(1, 1, 1, 1))
WEIGHTS = {"w": networks.weights_of(CONV), "b": networks.random([16])}
NETWORK = networks.model(
    [
        networks.conv_node(CONV, ["x", "w", "b"], "c"),
        helper.make_node("Sigmoid", ["c"], ["dead"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["y"]),
    ],
    networks.shape_of(CONV),
    WEIGHTS,
)


@pytest.mark.parametrize("mcpu", ["x86-64-v3", "znver4"])
def test_operators_that_follow_a_layer_are_in_its_program_and_dead_ones_in_none(mcpu: str) -> None:
    lowered = lowering.lower(NETWORK, named(mcpu), Choices("direct"), "float32")
    [layer] = lowered.layers
    assert (layer.name, layer.ran) == ("w", "direct/dense")
    packed, convolution, unpacked = networks.calls(lowered.module)
    assert ("pack" in packed, "pack" in unpacked) == (True, True)
    assert {"conv2d", "relu", "add"} <= set(convolution.split("_"))
    assert "sigmoid" not in lowered.module.script(show_meta=False)


def test_a_rounded_result_that_nobody_reads_keeps_no_operator_from_being_fused() -> None:
    """Of a layer stored in float16, only what follows is read; its own rounding is dead."""
    lowered = lowering.lower(NETWORK, named("znver4"), Choices("direct"), "float16")
    [program] = [name for name in networks.calls(lowered.module) if "conv2d" in name or "add" in name]
    assert {"conv2d", "relu", "add"} <= set(program.split("_"))


def test_what_is_placed_is_not_fused_and_the_context_has_the_account() -> None:
    module, context = lowering.placed(NETWORK, named("znver4"), Choices("direct"), "float32")
    assert len(networks.calls(module)) > 3
    assert [layer.name for layer in context.layers] == ["w"]
    assert list(context.recorder.graph().problems) == ["w"]


def test_targets_without_conversion_are_refused() -> None:
    with pytest.raises(ValueError, match="no instruction that converts"):
        dlas_ops.lower(NETWORK, named("x86-64-v2"), algorithm="direct", dtype="float16")


@pytest.mark.parametrize("mcpu", ["x86-64-v3", "znver4", "cortex-a72"])
def test_a_lowered_network_is_the_same_when_loaded(mcpu: str, tmp_path: Path) -> None:
    lowered = dlas_ops.lower(NETWORK, named(mcpu), algorithm="spatial_pack")
    dlas_ops.save(lowered, tmp_path)
    loaded = dlas_ops.load(tmp_path)
    assert tvm_ffi.structural_equal(lowered.module, loaded.module, map_free_vars=True)
    assert loaded.layers == lowered.layers
    assert isinstance(dlas_ops.build(loaded, named(mcpu)).library, tvm.runtime.Executable)
