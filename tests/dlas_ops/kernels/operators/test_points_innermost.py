"""The layout with points innermost: how long a map is in it, and its way from other layouts and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._tvm import tvm
from dlas_ops.kernels.operators import layout
from dlas_ops.kernels.operators.points_innermost import TILES, bordered, constant, gather, pitch, scatter
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS, convolutions
from tests.dlas_ops.tensor_programs import computed, placeholders

te = tvm.te

MCPUS = st.sampled_from(["x86-64-v2", "x86-64-v3", "znver4"])
SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 7), st.integers(1, 7))


@given(st.integers(1, 4000), MCPUS)
def test_a_map_is_whole_vectors_and_a_large_one_is_divided_by_a_tile(points: int, mcpu: str) -> None:
    lanes, found = describe(named(mcpu)).lanes(), pitch(points, describe(named(mcpu)))
    if points < lanes:
        assert found == min(2**power for power in range(5) if 2**power >= points)
        return
    vectors = -(-points // lanes)
    fitting = (size for size in range(vectors, 2 * vectors) if size <= TILES[0] or any(size % t == 0 for t in TILES))
    assert found == next(fitting) * lanes


def held(data: networks.Array, block: int) -> networks.Array:
    """Return NCHW `data` in channel blocks of `block`, or as it is."""
    return np.asarray(layout.pack_constant(data, block)) if block else data


def with_pitch(data: networks.Array, length: int) -> networks.Array:
    """Return NCHW `data` with points innermost, each map of `length`."""
    maps = data.reshape(*data.shape[:2], -1)
    return np.pad(maps, ((0, 0), (0, 0), (0, length - maps.shape[2])))


@settings(SETTINGS, max_examples=8)
@given(SHAPES, MCPUS, st.sampled_from([0, 4]), st.sampled_from([0, 3]))
def test_maps_are_the_same_there_and_back(shape: tuple[int, int, int, int], mcpu: str, source: int, to: int) -> None:
    cpu, data = describe(named(mcpu)), networks.random(shape)
    _, channels, height, width = shape
    if channels == 1:
        source = to = 0  # a constant of one channel is not packed
    array = held(data, source)
    inputs = placeholders(array)
    points = computed(gather(inputs[0], shape, cpu), inputs, [array])
    np.testing.assert_array_equal(points, with_pitch(data, pitch(height * width, cpu)))
    inputs = placeholders(points)
    np.testing.assert_array_equal(computed(scatter(inputs[0], shape, to), inputs, [points]), held(data, to))


@settings(SETTINGS, max_examples=10)
@given(convolutions(), st.integers(0, 3), st.sampled_from(["plain", "blocks", "points"]))
def test_the_border_is_zeros_and_below_it_is_room_for_more_rows(conv: Conv, more: int, kind: str) -> None:
    data, cpu, rows = networks.random(networks.shape_of(conv)), describe(named("znver4")), conv.out_height + more
    top, left = conv.padding[:2]
    height = (rows - 1) * conv.stride[0] + conv.extent[0]
    width = (conv.out_width - 1) * conv.stride[1] + conv.extent[1]
    expected = np.zeros((conv.batch, conv.in_channels, max(height, top + conv.height), left + conv.width + width))
    expected[:, :, top : top + conv.height, left : left + conv.width] = data
    array = data
    if kind == "blocks" and conv.in_channels > 1:
        array = held(data, 8)
    elif kind == "points":
        array = with_pitch(data, pitch(conv.height * conv.width, cpu))
    inputs = placeholders(array)
    output = bordered(inputs[0], conv, rows)
    if output is inputs[0]:
        assert array.shape == (conv.batch, conv.in_channels, height, width)
        assert not any(conv.padding[:2])
    else:
        np.testing.assert_array_equal(computed(output, inputs, [array]), expected[:, :, :height, :width])


def test_an_input_that_needs_no_border_is_read_where_it_is() -> None:
    conv = Conv(1, 3, 8, 8, 4, (3, 3))
    data = te.placeholder(networks.shape_of(conv), "float32", "data")
    assert bordered(data, conv, conv.out_height) is data
    assert bordered(data, conv, conv.out_height + 1) is not data


@given(SHAPES, st.lists(st.booleans(), min_size=3, max_size=3), st.integers(1, 3), MCPUS)
def test_constants_broadcast_as_they_did(
    shape: tuple[int, int, int, int], whole: list[bool], axes: int, mcpu: str
) -> None:
    """The sum with a tensor of the shape is the same, whichever axes the constant has one number along."""
    _, _, height, width = shape
    array = networks.random([size if keep else 1 for size, keep in zip(shape[1:], whole, strict=True)][-axes:], 2)
    data, cpu = networks.random(shape), describe(named(mcpu))
    packed = constant(array, (height, width), cpu)
    found = with_pitch(data, pitch(height * width, cpu)) + packed
    np.testing.assert_array_equal(found[:, :, : height * width].reshape(shape), data + array)


@pytest.mark.parametrize("array", [np.float32(2), np.full((1, 1, 1), 2, np.float32)])
def test_one_number_stays_one(array: networks.Array) -> None:
    assert constant(np.asarray(array), (5, 7), describe(named("znver4"))).shape == (1, 1, 1)
