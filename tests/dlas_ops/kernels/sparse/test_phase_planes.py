"""Planes of an input: sums on them, moved by their shifts, are the convolution; and how large their tiles are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops.kernels.operators import points_innermost
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse.phase_planes import MOST_VECTORS, Planes, planes_of, split
from dlas_ops.processor.cpus import Cpu, describe_cpu
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import PROCESSORS, named
from tests.dlas_ops.shapes import SETTINGS, convolutions
from tests.dlas_ops.tensor_programs import computed, placeholders

# One of each kind of tile, on vectors of 16 numbers, and of each way to split the input.
KINDS = {
    "pointwise": Conv(2, 3, 8, 10, 2, (1, 1)),
    "a map": Conv(1, 3, 7, 6, 2, (3, 3), padding=(1, 1, 1, 1)),
    "a map with a stride": Conv(2, 2, 9, 7, 2, (3, 3), (2, 2), (1, 1, 1, 1)),
    "a map of one point in four phases": Conv(2, 3, 2, 2, 2, (2, 2), (2, 2)),
    "rows": Conv(1, 2, 12, 32, 2, (3, 3), padding=(1, 1, 1, 1)),
    "rows with a stride and dilation": Conv(1, 2, 19, 64, 2, (2, 3), (2, 2), (0, 2, 1, 1), (3, 2)),
    "a part of a row": Conv(1, 2, 3, 300, 2, (3, 3), padding=(1, 1, 1, 1)),
    "a part of a row with a stride": Conv(1, 2, 5, 620, 2, (3, 2), (1, 2), (1, 0, 1, 1)),
}


def sources_of(conv: Conv, data: networks.Array, planes: Planes, cpu: Cpu, plain: bool) -> networks.Array:
    """Return (image, tile, place): the input split into planes or, where that needs none, what each tile reads of it.

    `plain` says whether it is split as NCHW or with its points innermost.
    """
    maps = data.reshape(*data.shape[:2], -1)
    beyond = points_innermost.pitch(maps.shape[2], cpu) - maps.shape[2]
    points = np.pad(maps, ((0, 0), (0, 0), (0, beyond)))
    if not planes.in_place:
        array = data if plain else points
        inputs = placeholders(array)
        return computed(split(conv, inputs[0], planes), inputs, [array])
    flat = points.reshape(conv.batch, -1)
    return np.stack([np.roll(flat, -tile * planes.points, axis=1) for tile in range(planes.tiles)], axis=1)


def convolved(conv: Conv, weight: networks.Array, source: networks.Array, planes: Planes) -> networks.Array:
    """Return the convolution out of `source`, summed as `planes` says: shift by shift, then moved to its points."""
    summed = planes.vectors * planes.lanes
    output = np.zeros((conv.batch, conv.out_channels, planes.tiles, planes.points), np.float32)
    filters = conv.out_channels // conv.groups
    for o, i, y, x in np.ndindex(weight.shape):
        number = planes.shift_of_tap[y][x]
        if number < 0:
            continue
        channel = o // filters * conv.group_channels + i
        first = (channel * planes.rows_of_channel + planes.row_of_tap[y][x]) * planes.row
        sums = weight[o, i, y, x] * source[:, :, first : first + summed]
        assert sums.shape[2] == summed
        wanted = np.array(planes.shifts[number]) if planes.shifts else np.arange(planes.points)
        output[:, o] += np.where(wanted >= 0, sums[:, :, np.maximum(wanted, 0)], 0)
    points = conv.out_height * conv.out_width
    shape = (conv.batch, conv.out_channels, conv.out_height, conv.out_width)
    return output.reshape(*shape[:2], -1)[:, :, :points].reshape(shape)


def check(conv: Conv, mcpu: str, plain: bool) -> Planes:
    cpu, data, weight = describe_cpu(named(mcpu)), networks.random(networks.shape_of(conv)), networks.weights_of(conv)
    planes = planes_of(conv, cpu)
    source = sources_of(conv, data, planes, cpu, plain)
    networks.assert_close(convolved(conv, weight, source, planes), reference.conv2d(data, weight, conv), 1e-5)
    return planes


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "points innermost"])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_on_planes_are_the_convolution(kind: str, plain: bool) -> None:
    planes = check(KINDS[kind], "znver4", plain)
    width = KINDS[kind].out_width
    if kind == "pointwise":
        assert (planes.shifts, planes.in_place) == ([], True)
    elif kind.startswith("a map"):
        assert (planes.tiles, planes.in_place) == (1, KINDS[kind].stride == (1, 1))
    elif kind.startswith("rows"):
        assert (planes.points % width, planes.across) == (0, 1)
    else:
        assert planes.points * planes.across == width > planes.points


@settings(SETTINGS, max_examples=8)
@given(convolutions(), st.sampled_from(["x86-64-v2", "x86-64-v3", "znver4"]), st.booleans())
def test_sums_on_planes_are_the_convolution_for_drawn_shapes(conv: Conv, mcpu: str, plain: bool) -> None:
    check(conv, mcpu, plain)


@given(convolutions(), st.sampled_from(sorted(PROCESSORS)))
def test_the_sums_of_a_tile_fit_the_registers_and_tiles_make_up_the_map(conv: Conv, mcpu: str) -> None:
    cpu = describe_cpu(named(mcpu))
    planes = planes_of(conv, cpu)
    assert planes.vectors <= min(MOST_VECTORS, cpu.vector_registers - 2)
    assert planes.tiles * planes.points >= points_innermost.pitch(conv.out_height * conv.out_width, cpu)
    assert planes.plane % planes.row == 0
    assert all(len(shift) == planes.points for shift in planes.shifts)
    assert all(max(shift) < planes.vectors * planes.lanes for shift in planes.shifts)
