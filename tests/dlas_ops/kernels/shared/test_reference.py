"""The NumPy references against ONNX's own operators, over drawn shapes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.shapes import SETTINGS, convolutions


@settings(SETTINGS, max_examples=15)
@given(convolutions())
def test_convolutions_are_those_of_onnx(conv: Conv) -> None:
    data, weight = networks.random(networks.shape_of(conv)), networks.weights_of(conv)
    network = networks.one_layer(conv, weight)
    networks.assert_close(reference.conv2d(data, weight, conv), networks.run_onnxruntime(network, data), 1e-5)


def test_rounding_goes_to_even_and_saturates() -> None:
    data = np.array([-1e9, -1.5, -0.5, 0.5, 1.5, 2.5, 1e9], np.float32)
    np.testing.assert_array_equal(reference.quantize(data, 1.0, 100), [0, 98, 100, 100, 102, 102, 255])
    sums = np.array([-1000, -3, -1, 1, 3, 1000])
    factor = np.full(6, 0.5, np.float32)
    np.testing.assert_array_equal(reference.requantize(sums, factor, 10), [0, 8, 10, 10, 12, 255])


def test_dense_layers_multiply_by_the_transpose() -> None:
    data, weight = networks.random((3, 7)), networks.random((5, 7), 2)
    np.testing.assert_allclose(reference.dense(data, weight), data @ weight.T, rtol=1e-5, atol=1e-6)


def test_the_border_counts_in_averages_only_if_asked() -> None:
    window = Conv(1, 1, 2, 2, 1, (3, 3), padding=(1, 1, 1, 1), groups=1)
    data = np.ones((1, 1, 2, 2), np.float32)
    assert reference.avg_pool2d(data, window).tolist() == [[[[1, 1], [1, 1]]]]
    np.testing.assert_allclose(reference.avg_pool2d(data, window, True), 4 / 9)
    assert reference.max_pool2d(-data, window).tolist() == [[[[-1, -1], [-1, -1]]]]


def test_the_zero_point_lies_around_the_data() -> None:
    conv = Conv(1, 1, 3, 3, 1, (3, 3), padding=(1, 1, 1, 1))
    data = np.full((1, 1, 3, 3), 7, np.uint8)
    assert not reference.conv2d_sums(data, 7, np.ones((1, 1, 3, 3), np.int8), conv).any()
