"""Transposed convolutions as ordinary ones of all phases, against the definition in NumPy."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.dimensions import Window, conv_of
from dlas_ops.kernels.shared.transposed import Transposed
from tests.dlas_ops.shapes import SETTINGS


@st.composite
def transposed(draw: st.DrawFn) -> Transposed:
    """Draw a transposed convolution over maps that has a point of output."""

    def pair(*values: int) -> tuple[int, int]:
        return draw(st.sampled_from(values)), draw(st.sampled_from(values))

    kernel, stride, dilation = pair(1, 2, 3, 4, 5), pair(1, 2, 3), pair(1, 1, 2)
    window = Window(kernel, stride, pair(0, 1, 2), pair(0, 1, 3), dilation)
    added = (draw(st.integers(0, stride[0] - 1)), draw(st.integers(0, stride[1] - 1)))
    return Transposed(pair(3, 4, 5), window, added, draw(st.sampled_from([1, 2])))


def defined(form: Transposed, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return each input point times the weights, added up where they fall."""
    own, window = weight.shape[1], form.window
    output = np.zeros((data.shape[0], own * form.groups, *form.output()))
    inputs = data.shape[1] // form.groups
    for c, k, i, j in product(range(data.shape[1]), range(own), *map(range, window.kernel)):
        for h, w in product(*map(range, form.sizes)):
            row = h * window.stride[0] + i * window.dilation[0] - window.begin[0]
            column = w * window.stride[1] + j * window.dilation[1] - window.begin[1]
            if 0 <= row < output.shape[2] and 0 <= column < output.shape[3]:
                output[:, c // inputs * own + k, row, column] += data[:, c, h, w] * weight[c, k, i, j]
    return output


@SETTINGS
@given(form=transposed())
def test_the_phases_interleaved_are_the_output(form: Transposed) -> None:
    if min(form.output()) < 1:
        return
    random = np.random.default_rng(0)
    data = random.standard_normal((2, 4, *form.sizes)).astype(np.float32)
    weight = random.standard_normal((4, 3, *form.window.kernel)).astype(np.float32)
    own, groups = weight.shape[1], form.groups
    conv = conv_of(data.shape, groups * own * form.phases, form.ordinary(), groups)
    phases = reference.conv2d(data, form.weight(weight), conv)
    result = np.zeros((2, own * groups, *form.output()))
    for c, h, w in product(*map(range, result.shape[1:])):
        row, column = (at + before for at, before in zip((h, w), form.crop(), strict=True))
        phase = row % form.window.stride[0] * form.window.stride[1] + column % form.window.stride[1]
        channel = (c // own * form.phases + phase) * own + c % own
        result[:, c, h, w] = phases[:, channel, row // form.window.stride[0], column // form.window.stride[1]]
    np.testing.assert_allclose(result, defined(form, data, weight), rtol=1e-4, atol=1e-4)
    assert form.macs(weight.shape, 2) == 2 * np.prod(form.sizes) * weight.size


def test_kernels_that_stride_divides_cost_no_product_more() -> None:
    for kernel, stride in (((2, 2), (2, 2)), ((4, 4), (2, 2)), ((6, 3), (3, 1))):
        form = Transposed((8, 8), Window(kernel, stride, (0, 0), (0, 0), (1, 1)), (0, 0), 1)
        assert np.count_nonzero(form.weight(np.ones((5, 7, *kernel)))) == form.weight(np.ones((5, 7, *kernel))).size
