"""The range of least squared error is better than any other that is tried, and gives up a rare large value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray
from onnx import helper

import dlas_ops
from dlas_ops.onnx.calibration import Range, observe, scale_and_zero
from tests.dlas_ops import small_networks as networks

VALUES = (4, 2, 16, 16)
Array = NDArray[np.float32]


def observed(images: Array, **options: object) -> Range:
    """Return the range of a network's input, which no operator changes."""
    model = networks.model([helper.make_node("Relu", ["x"], ["y"])], (1, *images.shape[1:]), {})
    return observe(model, ["x"], images, lambda _: lambda batch: [], **options)["x"]  # type: ignore[arg-type]


def squared_error(values: Array, covered: Range) -> float:
    scale, zero = (float(each) for each in scale_and_zero(covered))
    integers = np.clip(np.rint(values / scale) + zero, 0, 255)
    return float(((values - (integers - zero) * scale) ** 2).mean())


@given(seed=some.integers(0, 10**6), power=some.sampled_from([1, 3, 5]), positive=some.booleans())
def test_no_narrower_range_has_a_smaller_error(seed: int, power: int, positive: bool) -> None:
    values = np.random.default_rng(seed).standard_normal(VALUES).astype(np.float32) ** power
    values = np.maximum(values, 0) if positive else values
    low, high = observed(values, method="mse")
    whole = observed(values)
    assert whole[0] <= low <= 0 <= high <= whole[1]
    best = squared_error(values, (low, high))
    assert best <= squared_error(values, whole) * 1.02  # of values counted in bins
    for share in (0.9, 0.7, 0.5, 0.3):
        assert best <= squared_error(values, (whole[0] * share, whole[1] * share)) * 1.1


def with_a_rare_large_value(shape: tuple[int, ...]) -> Array:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    values[0, 0, 0, 0] = 40
    return values


def test_a_rare_large_value_is_given_up() -> None:
    values = with_a_rare_large_value((8, 16, 128, 128))
    low, high = observed(values, method="mse")
    assert high < 20 < observed(values)[1]
    assert squared_error(values, (low, high)) < 0.5 * squared_error(values, observed(values))


def test_a_network_takes_its_scales_from_them() -> None:
    weights = {"w": networks.random((4, 2, 3, 3))}
    model = networks.model([helper.make_node("Conv", ["x", "w"], ["y"])], (1, 2, 64, 64), weights)
    images = with_a_rare_large_value((4, 2, 64, 64))
    scales = {}
    for method in ("percentile", "mse"):
        quantized = dlas_ops.quantize(model, images, method=method)
        (scales[method],) = (float(_value(each)) for each in quantized.graph.initializer if each.name == "x_scale")
    assert scales["mse"] == pytest.approx(float(scale_and_zero(observed(images, method="mse"))[0]))
    assert scales["mse"] < scales["percentile"]


def _value(tensor: object) -> Array:
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)  # type: ignore[arg-type]
