"""Images, a model's name and perhaps initial weights → weights.pt: the model trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from explorer.core.artifact import Artifact
from explorer.line.prepared import Prepared
from explorer.line.training import accounting, training, weights

VERSION = 3
WORKER = "torch"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Train the model on the training split and write its weights.

    Parameters
    ----------
    parents
        ``data``, ``weights`` where the model does not start at random, and the code of a model of the user's own.

    Returns
    -------
    dict
        ``train_accuracy``, ``validation_accuracy``, ``parameters``, ``seconds`` of training, the ``threads`` it ran on,
        and of initial weights what `explorer.line.training.weights.initialise` says.

    Raises
    ------
    StageFailed
        If the model cannot take the images, the weights do not fit the model, the loss is no longer finite, or memory
        runs out.
    """
    data = parents["data"]
    splits = Prepared.load(data)
    training.make_reproducible(parameters["seed"])
    model = training.build_model(
        "train", parameters["model"], parameters["width"], data.values["classes"], splits.shape
    )
    initial: dict[str, Any] = {}
    if given := parents.get("weights"):
        initial = weights.initialise(model, given.path, data.values["classes"], parameters["epochs"])
    start = time.perf_counter()
    training.fit("train", model, splits.train, training.Recipe.of(parameters))
    seconds = time.perf_counter() - start
    torch.save(model.state_dict(), out / "weights.pt")
    return {
        "train_accuracy": training.accuracy(model, splits.train),
        "validation_accuracy": training.accuracy(model, splits.validation),
        "parameters": accounting.parameters(model),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        **initial,
    }
