"""Model and images → logits, and what is kept of them: classes or samples; no more than one batch is in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explorer.datasets import Indices
from explorer.line.checking.reference import sampled
from explorer.line.prepared import Inputs

BATCH = 256
BATCH_PIXELS = 1 << 20  # of a batch of large images, which is smaller: activations are many times the image


@torch.no_grad()
def logits(model: nn.Module, pixels: NDArray[np.float32]) -> Tensor:
    """Return the model's outputs in evaluation mode, float32, shape (N, classes) or (N, …)."""
    model.eval()
    batches = torch.from_numpy(pixels).split(batch_size(pixels.shape[2:]))  # type: ignore[no-untyped-call]
    return torch.cat([model(batch) for batch in batches])


class Decisions(NamedTuple):
    """What a model makes of images: the class of each, and by how much its logit exceeds the next; shape (N,)."""

    classes: NDArray[np.int64]
    margins: NDArray[np.float32]


def decisions(model: nn.Module, images: Inputs, indices: Indices | None = None) -> Decisions:
    """Return what `model` makes of the images at `indices`, or of all."""
    outputs = torch.cat([*_outputs(model, images, indices)])
    first, second = outputs.topk(2).values.unbind(1)
    return Decisions(outputs.argmax(1).numpy(), (first - second).numpy())


def samples(model: nn.Module, images: Inputs, indices: Indices | None = None) -> NDArray[np.float32]:
    """Return of each image's output what `explorer.line.checking.reference.sampled` keeps; shape (N, values).

    The images are those at `indices`, or all.
    """
    return np.concatenate([sampled(outputs.numpy()) for outputs in _outputs(model, images, indices)])


def _outputs(model: nn.Module, images: Inputs, indices: Indices | None) -> Iterator[Tensor]:
    """Yield the outputs for the images at `indices`, or for all, a batch at a time, and no more is in memory."""
    indices = np.arange(len(images)) if indices is None else indices
    batch = batch_size(images.shape[1:])
    for start in range(0, len(indices), batch):
        yield logits(model, images.normalised(images.pixels(indices[start : start + batch])))


def save(path: Path, decided: Mapping[str, tuple[Indices, Decisions]]) -> None:
    """Write split → the images at which indices a model decided on, and what it made of them."""
    arrays: dict[str, NDArray[Any]] = {}
    for split, (indices, (classes, margins)) in decided.items():
        arrays |= {split: classes, f"{split}_margins": margins, f"{split}_images": indices}
    np.savez(path, allow_pickle=False, **arrays)


def load(path: Path, split: str, indices: Indices) -> Decisions | None:
    """Return what `save` wrote of the images at `indices`; None if it wrote nothing, or of other images."""
    if not path.exists():  # as of networks that were trained by earlier releases
        return None
    with np.load(path) as arrays:
        if not np.array_equal(arrays.get(f"{split}_images", ()), indices):
            return None
        return Decisions(arrays[split], arrays[f"{split}_margins"])


def save_samples(path: Path, sampled: Mapping[str, tuple[Indices, NDArray[np.float32]]]) -> None:
    """Write split → the images at which indices a model answered, and what `samples` returned for them."""
    arrays: dict[str, NDArray[Any]] = {}
    for split, (indices, values) in sampled.items():
        arrays |= {split: values, f"{split}_images": indices}
    np.savez(path, allow_pickle=False, **arrays)


def accuracy(model: nn.Module, images: Inputs) -> float:
    """Return the share of `images` that `model` classifies correctly."""
    return float((decisions(model, images).classes == images.labels).mean())


def batch_size(size: tuple[int, ...]) -> int:
    """Return how many images of (height, width) are evaluated at once."""
    return min(BATCH, max(1, BATCH_PIXELS // math.prod(size)))
