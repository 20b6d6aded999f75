"""Images, a model's name and perhaps initial weights → weights.pt: the model trained; and its answers."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from explorer.core import plugins
from explorer.datasets import Indices
from explorer.line.checking import drawing
from explorer.line.checking.metric import Judge
from explorer.line.checking.reference import ANSWERS
from explorer.line.contracts.train import Initialised, Parameters, Parents, Reached, Values
from explorer.line.prepared import Prepared
from explorer.line.training import accounting, checks, predictions, training
from explorer.line.training.initial import normalisations, weights
from explorer.line.training.losses import Loss
from explorer.line.training.recipe import Recipe

VERSION = 3
WORKER = "torch"

TRIED_IMAGES = 64  # that a metric of the user's own is tried on


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Train the model on the training split; write its weights, and what a classifier answers into ``answers.npz``.

    Raises
    ------
    StageFailed
        If the model cannot take the images, be trained, exported or imported into TVM, the weights do not fit it, a
        loss or metric of the user's own gives what it must not, the loss is no longer finite, or memory runs out.
    """
    settings = parameters.settings
    splits = Prepared.load(parents.data)
    classes, loss = splits.task.classes, Loss(settings.loss, splits.task)
    training.make_reproducible(settings.seed)
    model = training.build_model("train", parameters.model, parameters.width, splits.shape, loss)
    _try(parameters.metric, model, splits, loss)
    if plugins.is_custom(parameters.model):  # the bundled ones are known to come down the line
        checks.check("train", parameters.model, model, loss, splits.shape, trains=settings.epochs > 0)
    initialised: Initialised = {}
    if parents.weights:
        initialised = weights.initialise(model, parents.weights.path, classes, settings.epochs)
    start = time.perf_counter()
    training.fit("train", model, splits.train, Recipe.of(settings), loss=loss)
    seconds = time.perf_counter() - start
    torch.save(model.state_dict(), out / "weights.pt")
    answered = drawing.answered(splits.task.strata(splits.validation.labels), parameters.answered)
    reached = _reached(model, splits, loss, answered, out)
    is_taken_as_it_is = parents.weights and not settings.epochs and splits.task.classifies
    if is_taken_as_it_is and (advice := normalisations.better(model, splits.validation, answered)):
        initialised["note"] = "; ".join(filter(None, (initialised.get("note"), advice)))
    return {
        **reached,
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


def _reached(model: nn.Module, splits: Prepared, loss: Loss, answered: Indices, out: Path) -> Reached:
    """Return what the network reaches on the `answered` images of validation; write what a classifier makes of them."""
    images = splits.validation
    if not splits.task.classifies:
        return {"validation_loss": loss.mean(model, images, answered, predictions.batch_size(splits.shape[1:]))}
    decided = predictions.decisions(model, images, answered)
    predictions.save(out / ANSWERS, {"validation": (answered, decided)})
    return {"validation_accuracy": float((decided.classes == images.labels[answered]).mean())}
