"""A convolution's shape: its outputs against windows that NumPy counts, its kind and its work."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from numpy.lib.stride_tricks import sliding_window_view

from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops.shapes import SETTINGS, convolutions


@SETTINGS
@given(convolutions())
def test_outputs_are_the_windows_that_fit(conv: Conv) -> None:
    top, left, bottom, right = conv.padding
    padded = np.zeros((conv.height + top + bottom, conv.width + left + right))
    windows = sliding_window_view(padded, conv.extent)[:: conv.stride[0], :: conv.stride[1]]
    assert windows.shape[:2] == (conv.out_height, conv.out_width)
    taps = windows[:, :, :: conv.dilation[0], :: conv.dilation[1]]
    assert taps.shape[2:] == conv.kernel
    assert conv.macs == conv.batch * conv.out_channels * conv.group_channels * taps.size


def test_kinds_are_told_by_the_groups() -> None:
    def kind(inputs: int, outputs: int, groups: int) -> str:
        return Conv(1, inputs, 4, 4, outputs, (1, 1), groups=groups).operator

    assert kind(8, 8, 1) == kind(1, 1, 1) == "conv2d"
    assert kind(8, 8, 8) == "depthwise_conv2d"
    assert kind(8, 16, 8) == kind(8, 8, 2) == "grouped_conv2d"


def test_a_pointwise_convolution_reads_each_point_where_it_is() -> None:
    assert Conv(1, 8, 4, 4, 8, (1, 1)).is_pointwise
    assert not Conv(1, 8, 4, 4, 8, (1, 1), (2, 1)).is_pointwise
    assert not Conv(1, 8, 4, 4, 8, (1, 1), padding=(0, 0, 0, 1)).is_pointwise
    assert not Conv(1, 8, 4, 4, 8, (1, 3)).is_pointwise
