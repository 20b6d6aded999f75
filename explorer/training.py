"""Model, images and a recipe → trained weights, accuracies and logits; the same ones on the same machine."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer import plugins
from explorer.datasets import Images
from explorer.errors import Failure, StageFailed

EVALUATION_BATCH = 256
MOMENTUM = 0.9
ALLOCATION_FAILED = re.compile("allocate memory|out of memory|not enough memory")  # torch raises a plain RuntimeError


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum under a one-cycle schedule.

    Parameters
    ----------
    epochs
        Passes over the training split.
    learning_rate
        The schedule's peak.
    weight_decay
        L2 penalty.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int

    @staticmethod
    def of(parameters: Mapping[str, Any]) -> Recipe:
        """Return the recipe that a stage's parameters hold among others."""
        return Recipe(**{field.name: parameters[field.name] for field in fields(Recipe)})


def make_reproducible(seed: int) -> None:
    """Seed torch's generator and allow only deterministic kernels, for the rest of the process.

    Sums still depend on the number of threads, so that equal weights need an equal ``torch.get_num_threads()``.
    """
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Its other half fills every fresh tensor with NaN, a fifth of the time that MobileNetV2 trains on small images.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def build_model(stage: str, name: str, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return the untrained model `name`, checked to map (N, C, H, W) to (N, classes).

    Raises
    ------
    StageFailed
        If the model cannot take images of this shape, or gives another output.
    """
    build = plugins.load_custom(name) if plugins.is_custom(name) else plugins.load("model", name).build
    try:
        model: nn.Module = build(width, classes, shape)
        with torch.no_grad():
            output = model.eval()(torch.zeros(2, *shape))
    except (RuntimeError, ValueError) as error:
        message = f"model {name} at width {width} cannot take images of shape {shape}: {error}"
        raise StageFailed(Failure(stage, "unsupported", message)) from error
    if tuple(output.shape) != (2, classes):
        message = f"model {name} gives shape {tuple(output.shape)} for 2 images instead of (2, {classes})"
        raise StageFailed(Failure(stage, "unsupported", message))
    return model


def fit(stage: str, model: nn.Module, images: Images, recipe: Recipe, epochs: int | None = None) -> None:
    """Train `model` in place on cross-entropy, each image shifted at random by up to an eighth of its side.

    Parameters
    ----------
    epochs
        Instead of the recipe's.

    Raises
    ------
    StageFailed
        If the loss is no longer finite, or memory runs out.
    """
    epochs = recipe.epochs if epochs is None else epochs
    if not epochs:
        return
    batch = min(recipe.batch_size, len(images))
    steps = len(images) // batch  # the last, smaller batch is left out: batch norm needs many images
    pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, MOMENTUM, weight_decay=recipe.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=epochs * steps)
    model.train().to(memory_format=torch.channels_last)  # depthwise convolutions train twice as fast in this layout
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for part in order[: steps * batch].split(batch):  # type: ignore[no-untyped-call]
            loss = _step(stage, model, optimizer, shifted(pixels[part]), labels[part])
            if not math.isfinite(loss):
                message = f"the loss became {loss} in epoch {epoch + 1} of {epochs}"
                raise StageFailed(Failure(stage, "not_finite", message, f"recipe: {recipe}"))
            schedule.step()
    model.eval().to(memory_format=torch.contiguous_format)


def _step(stage: str, model: nn.Module, optimizer: torch.optim.Optimizer, pixels: Tensor, labels: Tensor) -> float:
    try:
        loss = F.cross_entropy(model(pixels.contiguous(memory_format=torch.channels_last)), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not ALLOCATION_FAILED.search(str(error)):
            raise
        raise StageFailed(Failure(stage, "out_of_memory", f"a batch of {len(labels)} does not fit: {error}")) from error
    return loss.item()


def shifted(pixels: Tensor) -> Tensor:
    """Return `pixels`, (N, C, H, W), each image moved by up to an eighth of its side, its border stretched."""
    count, channels, height, width = pixels.shape
    margin = max(1, min(height, width) // 8)
    padded = F.pad(pixels, (margin,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * margin + 1, (2, count))
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(count)[:, None, None, None], torch.arange(channels)[:, None, None], rows, columns]


@torch.no_grad()
def logits(model: nn.Module, pixels: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
    """Return the model's outputs in evaluation mode, float32, shape (N, classes)."""
    model.eval()
    batches = torch.from_numpy(pixels).split(EVALUATION_BATCH)  # type: ignore[no-untyped-call]
    return torch.cat([model(batch) for batch in batches])


def classes(model: nn.Module, images: Images) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the class that `model` puts each image into, shape (N,)."""
    return logits(model, images.pixels).argmax(1).numpy()


def accuracy(model: nn.Module, images: Images) -> float:
    """Return the share of `images` that `model` classifies correctly."""
    return float((classes(model, images) == images.labels).mean())
