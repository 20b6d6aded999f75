"""The compiler: requests that it refuses, networks in each form, and programs that are scheduled already."""

from __future__ import annotations

import pytest

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named

CONV = Conv(1, 8, 6, 6, 16, (3, 3))
NETWORK = networks.one_layer(CONV)


def test_refuses_dtypes_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="dtype bfloat16 is not implemented; there are float32, float16, int8"):
        dlas_ops.lower(NETWORK, named("znver4"), algorithm="direct", dtype="bfloat16")


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
