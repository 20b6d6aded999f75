"""Model and images → logits, and what is kept of them: classes or samples; no more than one batch is in memory."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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


def decisions(model: nn.Module, images: Inputs) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the class that `model` puts each image into, and by how much its logit exceeds the second; shape (N,).

    No more than one batch is in memory.
    """
    batch = batch_size(images.shape[1:])
    parts = [logits(model, images[start : start + batch]) for start in range(0, len(images), batch)]
    first, second = torch.cat(parts).topk(2).values.unbind(1)
    return torch.cat(parts).argmax(1).numpy(), (first - second).numpy()


def samples(model: nn.Module, images: Inputs) -> NDArray[np.float32]:
    """Return of each image's output what `explorer.line.checking.reference.sampled` keeps; shape (N, values)."""
    batch = batch_size(images.shape[1:])
    starts = range(0, len(images), batch)
    return np.concatenate([sampled(logits(model, images[start : start + batch]).numpy()) for start in starts])


def accuracy(model: nn.Module, images: Inputs) -> float:
    """Return the share of `images` that `model` classifies correctly."""
    return float((decisions(model, images)[0] == images.labels).mean())


def batch_size(size: tuple[int, ...]) -> int:
    """Return how many images of (height, width) are evaluated at once."""
    return min(BATCH, max(1, BATCH_PIXELS // math.prod(size)))
