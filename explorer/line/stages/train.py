"""Images, a model's name and perhaps initial weights → weights.pt: the model trained."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from explorer.line.checking.metric import Judge
from explorer.line.contracts.train import Initialised, Parameters, Parents, Reached, Values
from explorer.line.prepared import Prepared
from explorer.line.training import accounting, predictions, training, weights
from explorer.line.training.losses import Loss

VERSION = 3
WORKER = "torch"

TRIED_IMAGES = 64  # that a metric of the user's own is tried on


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Train the model on the training split and write its weights.

    Raises
    ------
    StageFailed
        If the model cannot take the images, the weights do not fit the model, a loss or metric of the user's own gives
        what it must not, the loss is no longer finite, or memory runs out.
    """
    settings = parameters.settings
    splits = Prepared.load(parents.data)
    classes, loss = splits.task.classes, Loss(settings.loss, splits.task)
    training.make_reproducible(settings.seed)
    model = training.build_model("train", parameters.model, parameters.width, splits.shape, loss)
    _try(parameters.metric, model, splits, loss)
    initialised: Initialised = {}
    if parents.weights:
        initialised = weights.initialise(model, parents.weights.path, classes, settings.epochs)
    start = time.perf_counter()
    training.fit("train", model, splits.train, training.Recipe.of(settings), loss=loss)
    seconds = time.perf_counter() - start
    torch.save(model.state_dict(), out / "weights.pt")
    return {
        **_reached(model, splits, loss),
        "parameters": accounting.parameters(model),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        **initialised,
    }


def _try(metric: str, model: nn.Module, splits: Prepared, loss: Loss) -> None:
    """Refuse, before anything is trained, a loss or metric that could not be used afterwards."""
    loss.check("train", model, splits.train)
    if metric:
        images = splits.validation[:TRIED_IMAGES]
        Judge("train", metric).value(predictions.logits(model, images).numpy(), splits.validation.labels[: len(images)])


def _reached(model: nn.Module, splits: Prepared, loss: Loss) -> Reached:
    """Return what the network reaches on the validation split."""
    if splits.task.classifies:
        return {"validation_accuracy": predictions.accuracy(model, splits.validation)}
    return {"validation_loss": loss.mean(model, splits.validation, predictions.batch_size(splits.shape[1:]))}
