"""Transposed convolutions as ordinary ones of all pieces, against the definition in NumPy."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.dimensions import Window, conv_of
from dlas_ops.kernels.shared.transposed import Transposed
from tests.dlas_ops.shapes import SETTINGS


@st.composite
def transposed(draw: st.DrawFn) -> Transposed:
    """Draw a transposed convolution over maps; few inputs favour phases, many the weights apart."""

    def pair(*values: int) -> tuple[int, int]:
        return draw(st.sampled_from(values)), draw(st.sampled_from(values))

    kernel, stride, dilation = pair(1, 2, 3, 4, 5), pair(1, 2, 3), pair(1, 1, 2)
    window = Window(kernel, stride, pair(0, 1, 2), pair(0, 1, 3), dilation)
    added = (draw(st.integers(0, stride[0] - 1)), draw(st.integers(0, stride[1] - 1)))
    groups, inputs, outputs = (draw(st.sampled_from(values)) for values in ([1, 1, 2, 3], [1, 2, 30], [1, 3, 4]))
    return Transposed(pair(3, 4, 5), window, added, groups, inputs, outputs)


def operands(form: Transposed) -> tuple[np.ndarray, np.ndarray]:
    """Return an input of two images and weights."""
    random = np.random.default_rng(0)
    data = random.standard_normal((2, form.groups * form.inputs, *form.sizes)).astype(np.float32)
    weight = random.standard_normal((data.shape[1], form.outputs, *form.window.kernel)).astype(np.float32)
    return data, weight


def defined(form: Transposed, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return each input point times the weights, added up where they fall."""
    own, window = form.outputs, form.window
    output = np.zeros((data.shape[0], own * form.groups, *form.output()))
    for c, k, i, j in product(range(data.shape[1]), range(own), *map(range, window.kernel)):
        for h, w in product(*map(range, form.sizes)):
            row = h * window.stride[0] + i * window.dilation[0] - window.begin[0]
            column = w * window.stride[1] + j * window.dilation[1] - window.begin[1]
            if 0 <= row < output.shape[2] and 0 <= column < output.shape[3]:
                output[:, c // form.inputs * own + k, row, column] += data[:, c, h, w] * weight[c, k, i, j]
    return output


def added_up(form: Transposed, pieces: np.ndarray) -> np.ndarray:
    """Return the output that the `pieces` of one output channel, (images, pieces, points), fall on."""
    sizes, step = form.output(), form.window.stride
    result = np.zeros((len(pieces), *sizes))
    for (a, i), (b, j) in product(*(list(enumerate(range(count))) for count in form.pieces)):
        rows, columns = (
            [index * (form.window.dilation[axis] if form.apart[axis] else 1) - form.before[axis] + step[axis] * point
             for point in range(pieces.shape[3 + axis])]
            for axis, index in enumerate((i, j))
        )  # fmt: skip
        for (h, row), (w, column) in product(enumerate(rows), enumerate(columns)):
            if 0 <= row < sizes[0] and 0 <= column < sizes[1]:
                result[:, row, column] += pieces[:, a, b, h, w]
    return result


@SETTINGS
@given(form=transposed())
def test_the_pieces_added_up_are_the_output(form: Transposed) -> None:
    if min(form.output()) < 1:
        return
    data, weight = operands(form)
    conv = conv_of(data.shape, form.channels, form.ordinary(), form.groups)
    held = reference.conv2d(data, form.weight(weight), conv)
    pieces = held.reshape(2, form.groups, *form.pieces, form.pitch, *held.shape[2:])
    outputs = [
        added_up(form, pieces[:, group, :, :, own]) for group in range(form.groups) for own in range(form.outputs)
    ]
    np.testing.assert_allclose(np.stack(outputs, 1), defined(form, data, weight), rtol=1e-4, atol=1e-4)
    assert form.macs(2) == 2 * np.prod(form.sizes) * weight.size


def test_of_many_channels_no_product_is_with_a_zero() -> None:
    for kernel, stride in (((2, 2), (2, 2)), ((4, 4), (2, 2)), ((6, 3), (3, 1)), ((3, 3), (2, 2)), ((3, 4), (2, 2))):
        form = Transposed((8, 8), Window(kernel, stride, (0, 0), (0, 0), (1, 1)), (0, 0), 1, 64, 32)
        weight = form.weight(np.ones((64, 32, *kernel)))
        assert np.count_nonzero(weight) == weight.size == 64 * 32 * prod(kernel)


def test_few_outputs_are_filled_up_to_vectors_of_four() -> None:
    form = Transposed((8, 8), Window((4, 4), (2, 2), (1, 1), (1, 1), (1, 1)), (0, 0), 1, 64, 3)
    assert (form.apart, form.pieces, form.pitch, form.channels) == ((False, False), (2, 2), 4, 16)
