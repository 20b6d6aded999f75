"""The compiler: requests that it refuses, networks in each form, and programs that are scheduled already."""

from __future__ import annotations

import re

import pytest

import dlas_ops
from dlas_ops.kernels.scheduling import schedule_function, spaces
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import describe
from tests.dlas_ops import opencl
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named

CONV = Conv(1, 8, 6, 6, 16, (3, 3))
NETWORK = networks.one_layer(CONV)


def test_refuses_dtypes_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="float64 is not implemented; there are float32, float16, bfloat16, int8"):
        dlas_ops.lower(NETWORK, named("znver4"), algorithm="direct", dtype="float64")


def test_int8_needs_scales() -> None:
    with pytest.raises(ValueError, match="int8 needs calibration images, or a QDQ model"):
        dlas_ops.lower(NETWORK, named("znver4"), algorithm="direct", dtype="int8")


def test_int8_takes_its_scales_from_images() -> None:
    images = networks.random((4, *networks.shape_of(CONV)[1:]))
    [layer] = dlas_ops.lower(NETWORK, named("znver4"), algorithm="direct", dtype="int8", calibration=images).layers
    assert (layer.dtype, layer.weight) == ("int8", (16, 8, 3, 3))


@pytest.mark.parametrize(("channels", "joins"), [(8, 0), (48, 1)])
def test_the_plan_leaves_out_joins_where_no_layout_is_another(channels: int, joins: int) -> None:
    """Fewer channels than a vector holds are one block for every algorithm."""
    conv = Conv(1, channels, 6, 6, channels, (3, 3), padding=(1, 1, 1, 1))
    nodes = [networks.conv_node(conv, ["x", "first"], "a"), networks.conv_node(conv, ["a", "second"], "y")]
    weights = {"first": networks.weights_of(conv), "second": networks.weights_of(conv, 1)}
    graph = dlas_ops.plan(networks.model(nodes, networks.shape_of(conv), weights), named("znver4"))
    assert list(graph.problems) == ["first", "second"]
    assert len([join for join in graph.joins if join.source == "first"]) == joins


@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack", "winograd"])
def test_the_account_says_which_layers_had_no_room_in_shared_memory(algorithm: str) -> None:
    """A depthwise layer takes none, whatever there is."""
    conv, depthwise = (Conv(1, 32, 14, 14, 32, (3, 3), padding=(1, 1, 1, 1), groups=groups) for groups in (1, 32))
    nodes = [networks.conv_node(conv, ["x", "w"], "a"), networks.conv_node(depthwise, ["a", "v"], "y")]
    weights = {"w": networks.weights_of(conv), "v": networks.weights_of(depthwise)}
    network = networks.model(nodes, networks.shape_of(conv), weights)

    def notes(shared_bytes: int) -> dict[str, str]:
        target = opencl.target("adreno", max_shared_memory_per_block=shared_bytes)
        return {layer.name: layer.note for layer in dlas_ops.compile(network, target, algorithm=algorithm).layers}

    assert notes(32 << 10) == {"w": "", "v": ""}
    found = notes(64)
    assert re.fullmatch(
        r"takes no shared memory: a work-group would take \d{3,5} bytes of shared memory, and the GPU has 64",
        found["w"],
    )
    assert found["v"] == ""


def test_a_layer_whose_schedule_is_given_has_no_note() -> None:
    target = opencl.target("adreno", max_shared_memory_per_block=64)
    lowered = dlas_ops.lower(networks.one_layer(CONV), target, algorithm="direct")
    [program] = {layer.program for layer in lowered.layers}
    [tile, *_] = spaces(lowered.module, target)[program]["tile"]
    given = schedule_function(lowered.module[program], describe(target), {"tile": tile, "shared": False})
    [layer] = dlas_ops.build(lowered, target, {program: given}).layers
    assert (layer.program, layer.note) == (program, "")
    assert dlas_ops.build(lowered, target).layers[0].note
