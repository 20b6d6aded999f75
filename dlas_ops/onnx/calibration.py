"""Float network, images and names of tensors → the range of values that the 8 bits of each tensor stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from dlas_ops.onnx.reading import inputs_of

Array = NDArray[np.float32]
Range = tuple[float, float]
# Compiles a network for this machine: a batch → its outputs, in the order of the network's.
Runner: TypeAlias = Callable[[onnx.ModelProto], Callable[[Array], Sequence[Array]]]
Method = Literal["percentile", "mse"]

BINS = 2048
STEPS = 64  # ends of ranges that are tried, from all that was observed down to `LEAST` of it
LEAST = 0.1


def observe(
    model: onnx.ModelProto,
    names: list[str],
    images: Array,
    runner: Runner,
    percentile: float = 100.0,
    method: Method = "percentile",
) -> dict[str, Range]:
    """Run `model` on `images`, on this machine; return the range that the 8 bits of each tensor are to cover.

    Parameters
    ----------
    percentile
        How many of a tensor's values its range holds, half of the others lying at either end; 100 for all.
    method
        ``"mse"`` takes the range with the least mean squared error between a tensor's values and their 8-bit forms
        instead: it gives up rare large values where the many others gain more. Of values counted in `BINS` bins.
    """
    ranges = dict.fromkeys(names, (0.0, 0.0))
    for tensors in _run(model, names, images, runner):
        for name, values in tensors.items():
            low, high = ranges[name]
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    if method == "percentile" and percentile >= 100:
        return ranges
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for tensors in _run(model, names, images, runner):
        for name, values in tensors.items():
            counts[name] += np.histogram(values, BINS, ranges[name])[0]
    if method == "mse":
        return {name: _least_error(ranges[name], counts[name]) for name in names}
    return {name: _inner(ranges[name], counts[name], percentile) for name in names}


def scale_and_zero(covered: Range) -> tuple[np.float32, np.uint8]:
    """Return the scale of 8-bit integers that cover a range, which holds 0, and the one that stands for 0."""
    low, high = covered
    scale = np.float32((high - low) / 255) or np.float32(1)
    return scale, np.uint8(np.clip(np.rint(-low / scale), 0, 255))


def _inner(whole: Range, counts: NDArray[np.int64], percentile: float) -> Range:
    """Return the part of a range that holds the middle `percentile` of the values counted in its bins."""
    edges = np.linspace(*whole, BINS + 1)
    outside = (1 - percentile / 100) / 2 * counts.sum()
    below = np.cumsum(counts)
    first, last = np.searchsorted(below, outside, "right"), np.searchsorted(below, counts.sum() - outside, "left")
    return min(0.0, float(edges[first])), max(0.0, float(edges[min(last, BINS - 1) + 1]))


def _least_error(whole: Range, counts: NDArray[np.int64]) -> Range:
    """Return the part of a range whose 8-bit integers are nearest to the values counted in its bins.

    One end after the other, as an activation after a ReLU has one alone, and the upper one once more.
    """
    edges = np.linspace(*whole, BINS + 1)
    values = (edges[:-1] + edges[1:]) / 2
    values[(edges[:-1] <= 0) & (edges[1:] >= 0)] = 0  # most of what a ReLU makes, and exact in 8 bits
    shares = np.linspace(1, LEAST, STEPS)
    low, high = whole
    high = min(high * shares, key=lambda end: _error((low, end), values, counts))
    low = min(low * shares, key=lambda end: _error((end, high), values, counts))
    high = min(whole[1] * shares, key=lambda end: _error((low, end), values, counts))
    return float(low), float(high)


def _error(covered: Range, values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Return the sum of squared differences between `values`, so many of each, and their 8-bit forms."""
    scale, zero = (float(each) for each in scale_and_zero(covered))
    rounded = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    return float((counts * (values - rounded) ** 2).sum())


def _run(model: onnx.ModelProto, names: list[str], images: Array, runner: Runner) -> Iterator[dict[str, Array]]:
    """Yield the tensors `names` of one batch of images after the other."""
    (source,) = inputs_of(model)
    batch, *image = (size.dim_value for size in source.type.tensor_type.shape.dim)
    if not len(images) or len(images) % batch or list(images.shape[1:]) != image:
        raise ValueError(f"calibration images are {images.shape}; the network takes {(batch, *image)}")
    observed = onnx.shape_inference.infer_shapes(model)
    known = {info.name: info for info in (*observed.graph.value_info, *observed.graph.output)}
    inner = [name for name in names if name != source.name]
    del observed.graph.output[:]
    observed.graph.output.extend(known[name] for name in inner)
    run = runner(observed)
    for first in range(0, len(images), batch):
        data = np.ascontiguousarray(images[first : first + batch], np.float32)
        seen = {source.name: data, **dict(zip(inner, run(data), strict=True))}
        yield {name: seen[name] for name in names}
