"""Images, a model's name and perhaps initial weights → weights.pt: the model trained."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from explorer.line.contracts.train import Initialised, Parameters, Parents, Values
from explorer.line.prepared import Prepared
from explorer.line.training import accounting, normalisations, predictions, training, weights

VERSION = 3
WORKER = "torch"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Train the model on the training split and write its weights.

    Raises
    ------
    StageFailed
        If the model cannot take the images, the weights do not fit the model, the loss is no longer finite, or memory
        runs out.
    """
    settings, classes = parameters.settings, parents.data.values["classes"]
    splits = Prepared.load(parents.data)
    training.make_reproducible(settings.seed)
    model = training.build_model("train", parameters.model, parameters.width, classes, splits.shape)
    initialised: Initialised = {}
    if parents.weights:
        initialised = weights.initialise(model, parents.weights.path, classes, settings.epochs)
    start = time.perf_counter()
    training.fit("train", model, splits.train, training.Recipe.of(settings))
    seconds = time.perf_counter() - start
    torch.save(model.state_dict(), out / "weights.pt")
    if parents.weights and not settings.epochs and (advice := normalisations.better(model, splits.validation)):
        initialised["note"] = "; ".join(filter(None, (initialised.get("note"), advice)))
    return {
        "validation_accuracy": predictions.accuracy(model, splits.validation),
        "parameters": accounting.parameters(model),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        **initialised,
    }
