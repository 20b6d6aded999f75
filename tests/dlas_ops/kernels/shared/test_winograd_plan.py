"""Winograd's plans: the tiles by the shape, panels that fit, and the estimate that chooses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from dlas_ops.kernels.shared import winograd_plan
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.cpus import describe_cpu
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS, conv3x3, convolutions


@pytest.mark.parametrize("mcpu", ["x86-64-v3", "znver4", "sapphirerapids"])
def test_large_weights_get_small_tiles(mcpu: str) -> None:
    """F(4x4) reads 2.25 times the transformed weights of F(2x2): too many on a small map of many channels."""
    cpu = describe_cpu(named(mcpu))
    assert winograd_plan.variant(conv3x3(64, 56, 64), cpu)[0].m == 4
    assert winograd_plan.variant(conv3x3(512, 4, 512), cpu)[0].m == 2


@settings(SETTINGS, max_examples=40)
@given(convolutions("winograd"))
def test_panels_are_of_whole_register_tiles(conv: Conv) -> None:
    cpu = describe_cpu(named("znver4"))
    work, tile = winograd_plan.variant(conv, cpu)
    assert work.height * work.m >= conv.out_height
    assert work.width * work.m >= conv.out_width
    cycles, count, groups = work.plan(tile, cpu)
    assert cycles > 0
    assert (work.vectors // tile.vectors) % groups == 0
    rows, columns = work.panel(tile, count)
    assert (rows % tile.height, columns % tile.width) == (0, 0)
    assert (work.height % rows, work.width % columns) == (0, 0)
    assert rows * columns <= count * tile.points


def test_the_largest_divisor_within_a_limit() -> None:
    assert [winograd_plan.most(12, limit) for limit in (0, 1, 5, 11, 12, 99)] == [1, 1, 4, 6, 12, 12]
