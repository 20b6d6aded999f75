"""Checkpoint → initial weights of a model: all tensors fit by name or order, but for a classifier of other classes."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import torch
from torch import nn

from explorer.core.errors import ExplorerError, Failure, StageFailed
from explorer.line.contracts.train import Initialised
from explorer.line.training.initial import fitting
from explorer.line.training.initial.weight_files import read

MOST_NAMED = 4  # tensors of each kind that a message names; the log lists all
SECONDS = 20  # until a host that does not answer is given up


def download(url: str, path: str) -> None:
    """Fetch a checkpoint whose name, as torchvision's do, ends in the start of its SHA-256."""
    socket.setdefaulttimeout(SECONDS)
    digits = re.search(r"-([0-9a-f]{8,})\.", url)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, path, digits and digits[1], progress=False)


def check(path: str) -> str | None:
    """Return in one sentence why the file holds no weights, None if it does."""
    try:
        read(Path(path))
    except ExplorerError as error:
        return str(error)
    return None


def initialise(model: nn.Module, path: Path, classes: int, epochs: int) -> Initialised:
    """Give `model` the weights in the file at `path`.

    Parameters
    ----------
    epochs
        Of the training that follows; without any, a random classifier is a failure.

    Returns
    -------
    Initialised
        The tensors that stay random are the classifier's, that is the last layer's, where the file's is of another
        number of classes.

    Raises
    ------
    StageFailed
        If the file cannot be read, or differs from the model in anything else.
    """
    try:
        given = read(path)
    except ExplorerError as error:
        raise _failed(str(error)) from error
    fit = fitting.fit(model.state_dict(), given, classes)
    if any(fit.faults.values()):
        log = "\n".join(f"{kind}: {name}" for kind, names in fit.faults.items() for name in names)
        raise _failed(f"{path.name} does not fit the model: {why_not(fit)}", log)
    replaced = list(fit.classifier)
    if replaced and not epochs:
        first = f"{replaced[0]} {fit.sides(replaced[0])}"
        raise _failed(f"{path.name} has another classifier ({first}), which epochs = 0 leaves untrained")
    model.load_state_dict(fit.tensors, strict=False)
    notes = []
    if fit.by_order:
        notes.append(
            f"the weights in {path.name} have other names and are taken by order: all {len(fit.sources)} tensors are "
            "of the same kind and shape"
        )
    if replaced:
        notes.append(f"the weights in {path.name} are of other classes: {', '.join(replaced)} start at random")
    return {"reinitialised": replaced, "note": "; ".join(notes)} if notes else {"reinitialised": replaced}


def why_not(fit: fitting.Fit) -> str:
    """Return what does not fit in words, a few tensors of each kind by name."""
    return "; ".join(f"{kind}: {_some(names)}" for kind, names in fit.faults.items() if names)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _failed(message: str, log: str = "") -> StageFailed:
    return StageFailed(Failure("train", "weights", f"weights: {message}", log))
