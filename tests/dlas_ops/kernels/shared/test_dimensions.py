"""Tensors and convolutions over lines and volumes, against the definitions in NumPy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.shared.dimensions import (
    Slices,
    Window,
    constant_maps,
    conv_of,
    kernels_of,
    maps_of,
    place,
    position,
    slices_of,
)

SHAPES = [(2, 3, 5), (2, 3, 4, 5), (2, 3, 6, 4, 5)]


def as_maps(array: np.ndarray) -> np.ndarray:
    """Return a tensor as the maps that hold it."""
    return (array.swapaxes(1, 2) if array.ndim == 5 else array).reshape(maps_of(array.shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_element_has_a_place_in_the_maps(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    for index in product(*map(range, shape)):
        assert as_maps(array)[position(shape, index)] == array[index]
        assert place(shape, *position(shape, index)) == index


@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_broadcasts_as_before(shape: tuple[int, ...]) -> None:
    whole = np.arange(np.prod(shape)).reshape(shape)
    for constant in (np.full((), 3), np.arange(3).reshape(3, *[1] * (len(shape) - 2)), whole[:1], whole[:, :1], whole):
        assert (as_maps(whole) + constant_maps(constant, shape) == as_maps(whole + constant)).all()


def test_a_convolution_over_a_line_is_one_over_a_map_of_a_row() -> None:
    window = Window((3,), (2,), (1,), (0,), (2,))
    assert window.output((9,)) == (3,)
    expected = Conv(2, 4, 1, 9, 6, (1, 3), (1, 2), (0, 1, 0, 0), (1, 2), 2)
    assert conv_of((2, 4, 9), 6, window, 2) == expected
    assert slices_of((2, 4, 9), window, 2) is None
    assert kernels_of(np.zeros((6, 2, 3))).shape == (6, 2, 1, 3)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_over_a_volume_is_one_over_stacked_slices(groups: int) -> None:
    random = np.random.default_rng(0)
    data = random.standard_normal((2, 4, 5, 6, 7)).astype(np.float32)
    weight = random.standard_normal((6, 4 // groups, 3, 2, 3)).astype(np.float32)
    window = Window((3, 2, 3), (2, 1, 2), (1, 0, 1), (2, 1, 0), (1, 2, 1))
    slices = slices_of(data.shape, window, groups)
    assert slices is not None
    conv = conv_of(data.shape, 6, window, groups)
    stack = np.zeros((conv.batch, conv.in_channels, 6, 7), np.float32)
    for image, channel in product(range(conv.batch), range(conv.in_channels)):
        source, piece, own = slices.source(image, channel, 4)
        if 0 <= piece < 5:
            stack[image, channel] = data[source, own, piece]
    result = reference.conv2d(stack, kernels_of(weight), conv)
    depth = window.output(data.shape[2:])[0]
    padded = np.pad(data, ((0, 0), (0, 0), (1, 2), (0, 1), (1, 0)))
    expected = np.zeros((2, 6, *window.output(data.shape[2:])))
    for n, o, d, h, w in product(*map(range, expected.shape)):
        first = o // (6 // groups) * (4 // groups)
        seen = padded[n, first : first + 4 // groups, 2 * d : 2 * d + 3, h : h + 3 : 2, 2 * w : 2 * w + 3]
        expected[n, o, d, h, w] = (seen * weight[o]).sum()
    np.testing.assert_allclose(result, as_maps(expected), rtol=1e-4, atol=1e-4)
    assert depth * 2 == conv.batch


def test_slices_that_are_the_input_itself_are_not_stacked() -> None:
    window = Window((1, 3, 3), (1, 1, 1), (0, 1, 1), (0, 1, 1), (1, 1, 1))
    assert slices_of((1, 4, 5, 6, 7), window, 1) is None
    assert not Slices(5, 5, 1, 1, 1, 1, 1).trivial
