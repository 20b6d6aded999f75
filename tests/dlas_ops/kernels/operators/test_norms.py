"""Norms of blocked tensors against NumPy, whatever lies in the lanes beyond the last channel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops._types import Array
from dlas_ops.kernels.operators import layout, norms
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.shapes import SETTINGS
from tests.dlas_ops.tensor_programs import computed, placeholders

EPSILON = 1e-5


def blocked(array: Array, block: int) -> Array:
    """Return NCHW `array` in channel blocks, with large numbers in the lanes beyond the last channel."""
    packed = np.concatenate([layout.pack_constant(image[None], block) for image in array])
    channels = np.arange(packed.shape[1])[:, None] * block + np.arange(block)
    return np.where(channels[:, None, None, :] < array.shape[1], packed, np.float32(1e3)).astype(np.float32)


def plain(array: Array, channels: int) -> Array:
    batch, _, height, width, _ = array.shape
    return array.transpose(0, 1, 4, 2, 3).reshape(batch, -1, height, width)[:, :channels]


def normal(array: Array) -> Array:
    """Return `array` normalised over its last axis."""
    wide = array.astype(np.float64)
    return np.asarray((wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + EPSILON))


@settings(SETTINGS, max_examples=6)
@given(st.integers(1, 2), st.integers(2, 40), st.integers(1, 6), st.integers(1, 20), st.sampled_from([4, 8, 16]))
def test_over_channels(batch: int, channels: int, height: int, width: int, block: int) -> None:
    data = networks.random((batch, channels, height, width))
    gamma, beta = networks.random((channels, 1, 1), 2), networks.random((channels, 1, 1), 3)
    arrays = [blocked(data, block), *(layout.pack_constant(each, block) for each in (gamma, beta))]
    x, a, b = inputs = placeholders(*arrays)
    actual = computed(norms.channel_norm(x, a, b, channels, EPSILON), inputs, arrays)
    expected = normal(data.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) * gamma + beta
    np.testing.assert_allclose(plain(actual, channels), expected, atol=2e-4 * np.abs(expected).max())


@settings(SETTINGS, max_examples=6)
@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 10), st.integers(2, 8), st.integers(2, 12))
def test_over_groups(batch: int, groups: int, each: int, height: int, width: int) -> None:
    channels = groups * each
    data = networks.random((batch, channels, height, width))
    gamma, beta = networks.random((channels, 1, 1), 2), networks.random((channels, 1, 1), 3)
    arrays = [blocked(data, 8), *(layout.pack_constant(one, 8) for one in (gamma, beta))]
    x, a, b = inputs = placeholders(*arrays)
    actual = computed(norms.group_norm(x, a, b, channels, groups, EPSILON), inputs, arrays)
    expected = normal(data.reshape(batch, groups, -1)).reshape(data.shape) * gamma + beta
    np.testing.assert_allclose(plain(actual, channels), expected, atol=2e-4 * np.abs(expected).max())


def test_variance() -> None:
    data = 1000 + networks.random((2, 20, 5, 7))
    inputs = placeholders(blocked(data, 16))
    actual = computed(norms.variance(inputs[0], 20), inputs, [blocked(data, 16)])
    np.testing.assert_allclose(actual[..., 0, 0], data.astype(np.float64).var((2, 3)), rtol=1e-3)
