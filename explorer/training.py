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
from numpy.typing import NDArray
from torch import Tensor, nn

from explorer import plugins
from explorer.augmentation import augmented
from explorer.errors import Failure, StageFailed
from explorer.prepared import Inputs

EVALUATION_BATCH = 256
EVALUATION_PIXELS = 1 << 20  # of a batch of large images, which is smaller: activations are many times the image
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


def fit(stage: str, model: nn.Module, images: Inputs, recipe: Recipe, epochs: int | None = None) -> None:
    """Train `model` in place on cross-entropy, each image varied at random as its data set says.

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
    labels = torch.from_numpy(images.labels)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, MOMENTUM, weight_decay=recipe.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=epochs * steps)
    model.train().to(memory_format=torch.channels_last)  # depthwise convolutions train twice as fast in this layout
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for part in order[: steps * batch].split(batch):  # type: ignore[no-untyped-call]
            loss = _step(stage, model, optimizer, _varied(images, part), labels[part])
            if not math.isfinite(loss):
                message = f"the loss became {loss} in epoch {epoch + 1} of {epochs}"
                raise StageFailed(Failure(stage, "not_finite", message, f"recipe: {recipe}"))
            schedule.step()
    model.eval().to(memory_format=torch.contiguous_format)


def _varied(images: Inputs, part: Tensor) -> Tensor:
    """Return the images at the indices `part`, augmented and normalised."""
    pixels = augmented(torch.from_numpy(images.pixels(part.numpy())), images.augment)
    return torch.from_numpy(images.normalised(pixels.numpy()))


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


@torch.no_grad()
def logits(model: nn.Module, pixels: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
    """Return the model's outputs in evaluation mode, float32, shape (N, classes)."""
    model.eval()
    batches = torch.from_numpy(pixels).split(_evaluation_batch(pixels.shape[2:]))  # type: ignore[no-untyped-call]
    return torch.cat([model(batch) for batch in batches])


def decisions(model: nn.Module, images: Inputs) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the class that `model` puts each image into, and by how much its logit exceeds the second; shape (N,).

    No more than one batch is in memory.
    """
    batch = _evaluation_batch(images.shape[1:])
    parts = [logits(model, images[start : start + batch]) for start in range(0, len(images), batch)]
    first, second = torch.cat(parts).topk(2).values.unbind(1)
    return torch.cat(parts).argmax(1).numpy(), (first - second).numpy()


def accuracy(model: nn.Module, images: Inputs) -> float:
    """Return the share of `images` that `model` classifies correctly."""
    return float((decisions(model, images)[0] == images.labels).mean())


def _evaluation_batch(size: tuple[int, ...]) -> int:
    """Return how many images of (height, width) are evaluated at once."""
    return min(EVALUATION_BATCH, max(1, EVALUATION_PIXELS // math.prod(size)))
