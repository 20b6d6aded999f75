"""Initial weights and ``[data]`` → what the weights ask of images where ``[data]`` leaves it open, keyed by that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import digest
from explorer.core.settings import DataSettings
from explorer.inputs.initial_weights import PRETRAINED, Start
from explorer.processes.pool import temporary
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}  # that all weights of torchvision's want


def find(space: Space, weights: Mapping[Start, Artifact], workspace: Workspace) -> dict[Start, Artifact]:
    """Return what the weights of each data set, model and width ask for; none of those that ask for nothing.

    Published weights are known to want what they were trained on, and so are a library's networks, whose
    configuration a worker reads. Other files do not say what they want.
    """
    asked = _pretrained(weights) if space.settings.train.weights == PRETRAINED else _of_libraries(weights, workspace)
    found = {}
    for start in weights:
        if left := _left_open(asked.get(start[1], {}), start[0], space.settings.data):
            found[start] = Artifact("wanted", digest(left), Path(), left)
    return found


def _pretrained(weights: Mapping[Start, Artifact]) -> dict[str, dict[str, Any]]:
    inputs = {model: plugins.literal("model", model, "PRETRAINED_INPUT") or {} for _, model, _ in weights}
    return {model: {**IMAGENET, **own} for model, own in inputs.items()}


def _of_libraries(weights: Mapping[Start, Artifact], workspace: Workspace) -> dict[str, dict[str, Any]]:
    models = {model: None for _, model, _ in weights if plugins.of_library(model)}
    if not models:
        return {}
    with temporary("torch", "wanted", workspace.logs) as worker:
        call = "explorer.models._libraries:wanted"
        return {model: worker.request({"call": call, "arguments": {"model": model}}) for model in models}


def _left_open(asked: Mapping[str, Any], dataset: str, settings: DataSettings) -> dict[str, Any]:
    """Return what of `asked` the settings and the data set leave open: one of a single size is not cut."""
    given = {*settings.model_fields_set}
    if given & {"normalise", "mean", "std"}:
        given |= {"mean", "std"}
    if given & {"resize", "crop"}:
        given |= {"crop"}
    if not plugins.literal("dataset", dataset, "SCALES", default=False):
        given |= {"image_size", "crop", "interpolation"}
    return {name: value for name, value in asked.items() if name not in given}
