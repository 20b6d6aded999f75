"""Images, a model's name and perhaps initial weights → weights.pt: the model trained; and its answers."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from explorer.core import plugins
from explorer.line.checking import drawing
from explorer.line.checking.reference import ANSWERS
from explorer.line.contracts.train import Initialised, Parameters, Parents, Values
from explorer.line.prepared import Prepared
from explorer.line.training import accounting, checks, normalisations, predictions, training, weights

VERSION = 3
WORKER = "torch"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Train the model on the training split; write its weights, and into ``answers.npz`` what it makes of validation.

    Raises
    ------
    StageFailed
        If the model cannot take the images, be trained, exported or imported into TVM, the weights do not fit it, the
        loss is no longer finite, or memory runs out.
    """
    settings, classes = parameters.settings, parents.data.values["classes"]
    splits = Prepared.load(parents.data)
    training.make_reproducible(settings.seed)
    model = training.build_model("train", parameters.model, parameters.width, classes, splits.shape)
    if plugins.is_custom(parameters.model):  # the bundled ones are known to come down the line
        checks.check("train", parameters.model, model, classes, splits.shape, trains=settings.epochs > 0)
    initialised: Initialised = {}
    if parents.weights:
        initialised = weights.initialise(model, parents.weights.path, classes, settings.epochs)
    start = time.perf_counter()
    training.fit("train", model, splits.train, training.Recipe.of(settings))
    seconds = time.perf_counter() - start
    torch.save(model.state_dict(), out / "weights.pt")
    answered = drawing.answered(splits.validation.labels, parameters.answered)
    decided = predictions.decisions(model, splits.validation, answered)
    predictions.save(out / ANSWERS, {"validation": (answered, decided)})
    if parents.weights and not settings.epochs and (advice := normalisations.better(model, splits.validation)):
        initialised["note"] = "; ".join(filter(None, (initialised.get("note"), advice)))
    return {
        "validation_accuracy": float((decided.classes == splits.validation.labels[answered]).mean()),
        "parameters": accounting.parameters(model),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        **initialised,
    }
