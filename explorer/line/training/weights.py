"""Checkpoint → initial weights of a model: all tensors fit by name and shape, but for a classifier of other classes."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from explorer.core.errors import ExplorerError, Failure, StageFailed
from explorer.line.contracts.train import Initialised

NESTED = ("state_dict", "model_state_dict", "model")  # keys under which checkpoints hold the state dict, among others
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
# Workaround: torchvision 0.28: its ImageNet weights of DenseNet are of 2017 and say norm.1 where its layers say norm1;
# tests/test_workarounds.py
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
COUNTER = "num_batches_tracked"  # of batch norms; nothing here uses it, and old checkpoints lack it
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


def read(path: Path) -> dict[str, Tensor]:
    """Return name → tensor from a checkpoint: a state dict, or a dict that holds one.

    Raises
    ------
    ExplorerError
        If the file is no checkpoint, or more than tensors and plain values: nothing in it is executed.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # for a file that is no checkpoint torch raises errors of any kind
        raise ExplorerError(f"{path} {_why_unreadable(path, str(error))}") from error
    content = content if isinstance(content, Mapping) else {}
    content = next((content[key] for key in NESTED if isinstance(content.get(key), Mapping)), content)
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise ExplorerError(f"{path} holds no state dict, which torch.save(model.state_dict(), ...) writes")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return {OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}


def _why_unreadable(path: Path, message: str) -> str:
    if needed := re.search(r"Unsupported (?:global|class)[^\w]*(?:GLOBAL )?([\w.]+)", message):
        return f"needs Python code to be loaded ({needed[1]}): save model.state_dict() alone"
    if "TorchScript" in message:
        return "is a TorchScript archive: save model.state_dict() instead"
    if path.suffix == ".safetensors":
        return "is in a format that is not read: torch.save its tensors as a dict"
    return "is no checkpoint that torch.save wrote, or is damaged"


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
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(COUNTER)}
    given = {name: tensor for name, tensor in given.items() if not name.endswith(COUNTER)}
    shapes = {name: (_shape(given[name]), _shape(own[name])) for name in own if name in given}
    different = {name for name, (theirs, ours) in shapes.items() if theirs != ours}
    is_classifier = different and _only_classifier(own, given, different, classes)
    replaced = [name for name in own if name in different] if is_classifier else []
    faults = {
        "of another shape": [f"{name} {_sides(*shapes[name])}" for name in own if name in different - {*replaced}],
        "missing in the file": [name for name in own if name not in given],
        "unknown to the model": [name for name in given if name not in own],
        "not finite": [name for name in own if name in given and not given[name].isfinite().all()],
    }
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {_some(names)}" for kind, names in faults.items() if names)
        log = "\n".join(f"{kind}: {name}" for kind, names in faults.items() for name in names)
        raise _failed(f"{path.name} does not fit the model: {listed}", log)
    if replaced and not epochs:
        sides = _sides(*shapes[replaced[0]])
        raise _failed(f"{path.name} has another classifier ({replaced[0]} {sides}), which epochs = 0 leaves untrained")
    model.load_state_dict({name: given[name] for name in own if name not in different}, strict=False)
    note = f"the weights in {path.name} are of other classes: {', '.join(replaced)} start at random"
    return {"reinitialised": replaced, "note": note} if replaced else {"reinitialised": []}


def _only_classifier(own: Mapping[str, Tensor], given: Mapping[str, Tensor], different: set[str], classes: int) -> bool:
    """Tell whether the tensors that differ are the last layer's, and in nothing but the number of classes."""
    layer = list(own)[-1].rpartition(".")[0]
    return all(
        name.rpartition(".")[0] == layer
        and len(own[name]) == classes
        and given[name].ndim == own[name].ndim
        and given[name].shape[1:] == own[name].shape[1:]
        for name in different
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _sides(theirs: str, ours: str) -> str:
    return f"{theirs} in the file, {ours} in the model"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _failed(message: str, log: str = "") -> StageFailed:
    return StageFailed(Failure("train", "weights", f"weights: {message}", log))
