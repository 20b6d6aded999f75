"""``[train] weights`` and a configuration's model → the checkpoint it starts from, its key the contents' digest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.errors import SpaceError, StageFailed
from explorer.core.files.digests import digest_of_file
from explorer.processes.pool import temporary
from explorer.space.axes import Choice, Range
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace

PRETRAINED = "pretrained"
Start = tuple[str, str, float]  # data set, model and width of a configuration


def find(space: Space, workspace: Workspace) -> dict[Start, Artifact]:
    """Return the checkpoint of every data set, model and width of `space`; none if it names none.

    Raises
    ------
    SpaceError
        If a checkpoint does not exist, or no weights are published for a model.
    """
    given = space.settings.train.weights
    found: dict[Start, Artifact] = {}
    for dataset, model, width in _starts(space) if given else ():
        if isinstance(width, Range):
            raise SpaceError(f"{space.path}: [train] weights are of one width and the axis width is {width}")
        if given == PRETRAINED:
            path = _published(space, model, width, workspace)
        else:
            path = _named(space, dataset, model, width)
        found[dataset, model, width] = Artifact("weights", digest_of_file(path, workspace.digests), path.absolute())
    return found


def _starts(space: Space) -> Iterator[tuple[str, str, float | Range]]:
    for dataset, of_dataset in space.tree.children.items():
        for model, of_model in of_dataset.children.items():
            for width in () if plugins.is_onnx(str(model)) else of_model.children:
                yield str(dataset), str(model), _number(width)


def _number(width: Choice) -> float | Range:
    assert isinstance(width, float | Range), "the axis width takes nothing else"
    return width


def _named(space: Space, dataset: str, model: str, width: float) -> Path:
    """Return the file that ``[train] weights`` names for a configuration."""
    name = space.settings.train.weights
    for field, choice in (("dataset", dataset), ("model", model), ("width", f"{width:g}")):
        name = name.replace(f"{{{field}}}", choice)
    if not Path(name).is_file():
        raise SpaceError(
            f"{space.path}: [train] weights = '{name}': no such file; allowed: a checkpoint or '{PRETRAINED}'"
        )
    return Path(name)


def _published(space: Space, model: str, width: float, workspace: Workspace) -> Path:
    """Return the file of torchvision's weights, downloaded to where torch.hub keeps them."""
    url: str | None = plugins.literal("model", model, "PRETRAINED")
    if url is None:
        having = [name for name in plugins.names("model") if plugins.literal("model", name, "PRETRAINED")]
        message = f"no pretrained weights are known of {model}; allowed: {', '.join(having)}, or a file"
        raise SpaceError(f"{space.path}: {message}")
    if width != 1:
        raise SpaceError(f"{space.path}: pretrained weights are of width 1, and {model} is asked for at {width:g}")
    path = _hub() / url.rpartition("/")[2]
    if not path.exists():
        with temporary("torch", "download", workspace.logs) as worker:
            arguments = {"url": url, "path": str(path)}
            try:
                worker.request({"call": "explorer.line.training.initial.weights:download", "arguments": arguments})
            except StageFailed as failed:
                reason = " ".join(failed.failure.message.split())
                raise SpaceError(f"{url} cannot be downloaded to {path}: {reason}") from failed
    return path


def _hub() -> Path:
    """Return the folder that torch.hub keeps checkpoints in, without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or f"{cache}/torch").expanduser() / "hub" / "checkpoints"
