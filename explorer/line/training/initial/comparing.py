"""A file of weights and a model's name → tensor by tensor what fits, as plain JSON; no data set is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from explorer.core import own_modules
from explorer.core.errors import ExplorerError, StageFailed
from explorer.line.task import LABELS, Task
from explorer.line.training import training
from explorer.line.training.initial import fitting
from explorer.line.training.initial.weight_files import Contents, contents
from explorer.line.training.initial.weights import why_not
from explorer.line.training.losses import Loss

IMAGENET = (3, 224, 224)
COLOURS = (1, 3)  # channels of images


def compare(
    path: str, model: str, width: float, classes: int | None, shape: Sequence[int] | None, folder: str | None
) -> dict[str, object]:
    """Return how the tensors of a file fit a model's; `explorer.results.networks.Comparison` has the same fields.

    Parameters
    ----------
    classes, shape
        That the model is built for; as the file has them, on 224 px, where they are None.
    folder
        That code of the user's own is imported from.

    Raises
    ------
    StageFailed
        If the model cannot take images of the shape.
    """
    if folder is not None:
        own_modules.make_importable(Path(folder))
    try:
        found = contents(Path(path))
        classes, shape = classes or _classes(found), shape or _shape(found)
        loss = Loss("", Task(LABELS, classes))
        network = training.build_model("weights", model, width, (shape[0], shape[1], shape[2]), loss)
    except (ExplorerError, StageFailed) as error:
        return {"error": str(error)}
    fit = fitting.fit(network.state_dict(), found.tensors, classes)
    return {
        "fits": not any(fit.faults.values()),
        "why_not": why_not(fit),
        "classes": classes,
        "shape": list(shape),
        "under": found.under,
        "others": list(found.others),
        "by_order": fit.by_order,
        "tensors": [_row(fit, name) for name in fit.own],
        "unknown": [{"name": name, "shape": list(fit.given[name].shape)} for name in fit.unknown],
    }


def _row(fit: fitting.Fit, name: str) -> dict[str, object]:
    source = fit.sources.get(name)
    theirs = None if source is None else list(fit.given[source].shape)
    return {
        "name": name,
        "shape": list(fit.own[name].shape),
        "file_name": source,
        "file_shape": theirs,
        "state": _state(fit, name, source),
    }


def _state(fit: fitting.Fit, name: str, source: str | None) -> str:
    if source is None:
        return "missing"
    if name in fit.classifier:
        return "other classes"
    if fit.given[source].shape != fit.own[name].shape:
        return "other shape"
    return "fits" if fit.given[source].isfinite().all() else "not finite"


def _classes(found: Contents) -> int:
    """Return the outputs of the last layer in the file."""
    last = list(fitting.without_counters(found.tensors).values())[-1]
    return max(2, len(last)) if last.ndim else 2


def _shape(found: Contents) -> tuple[int, int, int]:
    """Return the shape of ImageNet's images, in grey where the file's first convolution takes those."""
    first: Tensor = next((tensor for tensor in found.tensors.values() if tensor.ndim == 4), torch.empty(1, 3, 1, 1))
    channels = first.shape[1] if first.shape[1] in COLOURS else IMAGENET[0]
    return channels, *IMAGENET[1:]
